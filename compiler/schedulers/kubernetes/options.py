"""What a user chooses for a Kubernetes controller: of pods anywhere, and of those that Kueue may queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from compiler.specs.fields import choice


@dataclass(frozen=True)
class Pods:
    """Names of what must exist in the cluster; None leaves it to kubectl and the namespace."""

    namespace: Optional[str] = None
    priority_class: Optional[str] = None
    service_account: Optional[str] = None
    image_pull_secrets: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Queued(Pods):
    """`queue` is a Kueue LocalQueue, `queue_priority` a WorkloadPriorityClass.

    `topology` asks for topology-aware scheduling: the plan's domains are required, or preferred.
    """

    queue: Optional[str] = None
    queue_priority: Optional[str] = None
    topology: Optional[str] = choice(("required", "preferred"), None)
