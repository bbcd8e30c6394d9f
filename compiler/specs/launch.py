"""What runs on the ranks, and where: no plan depends on it, every job file does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.fields import between, choice, numbers, quantity, text
from compiler.specs.limits import ARGUMENT, BYTES, INT32, NODES, RATE


@dataclass(frozen=True)
class Preflight:
    """What each node is held against before ranks start on it. A node that fails is left out, and a spare takes its place.

    `shm_bytes` is free space under /dev/shm. `bandwidth_command` runs on each node and prints what nccl-tests print, or
    a number of bytes/s last; `bandwidth` is the floor in bytes/s, None for none.
    """

    enabled: bool = True
    timeout_s: int = quantity("s", (1, INT32), (1, 1e5), 300)
    shm_bytes: float = quantity("bytes", (0, BYTES), (1e6, 1e13), 1e9)
    bandwidth_command: Optional[list[str]] = text(None, longest=ARGUMENT)
    bandwidth: Optional[float] = quantity("bytes/s", (1e-3, RATE), (1e8, 1e13), None)


@dataclass(frozen=True)
class Launch:
    """`command` is an argument list, None for the framework's program (the self-check alone where there is none).

    `secrets` maps a variable to a file on the cluster, or to {secret, key}; their values never enter a plan.
    `mounts` holds `SOURCE:TARGET[:ro]` or {source, target, read_only}.
    `checkpoint` is a file or folder that changes with every checkpoint: progress, in the eyes of a restart.
    `max_idle_restarts` may follow each other without any; `restart_codes` are exit codes of a rank that are worth one.
    """

    command: Optional[list[str]] = text(None, longest=ARGUMENT)
    unit: Optional[str] = choice(("rank", "node"), None)
    environment: dict[str, Any] = text(dict, longest=ARGUMENT)
    secrets: dict[str, Any] = field(default_factory=dict)
    workdir: Optional[str] = None
    image: Optional[str] = None
    mounts: list[Any] = field(default_factory=list)
    python: str = text("python3", shortest=1)
    time_limit: str = "24:00:00"
    spare_nodes: int = between(0, NODES, 0)
    max_restarts: int = between(0, INT32, 3)
    checkpoint_signal_s: int = quantity("s", (0, INT32), (1, 1e5), 120)
    checkpoint: Optional[str] = None
    max_idle_restarts: int = between(0, INT32, 1)
    restart_codes: list[int] = numbers(1, 255, 255)
    preflight: Preflight = field(default_factory=Preflight)
