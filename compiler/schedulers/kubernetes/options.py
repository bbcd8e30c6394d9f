"""What a user chooses for a Kubernetes controller: of pods anywhere, and of those that Kueue may queue."""

from __future__ import annotations

from dataclasses import field
from typing import Optional

from compiler.frozen import dataclass
from compiler.specs.fields import choice


@dataclass(frozen=True)
class Pods:
    """Names of what must exist in the cluster; None leaves it to kubectl and the namespace."""

    namespace: Optional[str] = None
    """The namespace; kubectl's own where it is null."""
    priority_class: Optional[str] = None
    """A PriorityClass."""
    service_account: Optional[str] = None
    """A ServiceAccount."""
    image_pull_secrets: list[str] = field(default_factory=list)
    """Secrets by which images are pulled."""


@dataclass(frozen=True)
class Queued(Pods):
    """Of pods that Kueue may queue."""

    queue: Optional[str] = None
    """A Kueue LocalQueue."""
    queue_priority: Optional[str] = None
    """A WorkloadPriorityClass."""
    topology: Optional[str] = choice(("required", "preferred"), None)
    """Topology-aware scheduling: the plan's domains are required, or preferred."""
