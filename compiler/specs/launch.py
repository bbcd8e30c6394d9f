"""What runs on the ranks, and where: no plan depends on it, every job file does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.fields import at_least, choice


@dataclass(frozen=True)
class Launch:
    """`command` is an argument list, None for the framework's program (the self-check alone where there is none).

    `secrets` maps a variable to a file on the cluster, or to {secret, key}; their values never enter a plan.
    `mounts` holds `SOURCE:TARGET[:ro]` or {source, target, read_only}.
    """

    command: Optional[list[str]] = None
    unit: Optional[str] = choice(("rank", "node"), None)
    environment: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    workdir: Optional[str] = None
    image: Optional[str] = None
    mounts: list[Any] = field(default_factory=list)
    python: str = "python3"
    time_limit: str = "24:00:00"
    spare_nodes: int = at_least(0, 0)
    max_restarts: int = at_least(0, 3)
    checkpoint_signal_s: int = at_least(0, 120)
