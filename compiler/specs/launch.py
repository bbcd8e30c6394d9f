"""What runs on the ranks, and where: no plan depends on it, every job file does."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.fields import between, choice, numbers, quantity, text
from compiler.specs.limits import ARGUMENT, BYTES, INT32, NODES, RATE


@dataclass(frozen=True)
class Preflight:
    """What each node is held against before ranks start on it."""

    enabled: bool = True
    """Whether each node is looked at before ranks start on it."""
    timeout_s: int = quantity("s", (1, INT32), (1, 1e5), 300)
    """What the look may take."""
    shm_bytes: float = quantity("bytes", (0, BYTES), (1e6, 1e13), 1e9)
    """Free space wanted under /dev/shm."""
    bandwidth_command: Optional[list[str]] = text(None, longest=ARGUMENT)
    """A command that runs on each node and prints what nccl-tests print, or a number of bytes/s last."""
    bandwidth: Optional[float] = quantity("bytes/s", (1e-3, RATE), (1e8, 1e13), None)
    """The least that it may print; null for none."""


@dataclass(frozen=True)
class Launch:
    """What runs on the ranks."""

    command: Optional[list[str]] = text(None, longest=ARGUMENT)
    """What runs, as an argument list; null for the framework's program, and the self-check alone where there is none."""
    unit: Optional[str] = choice(("rank", "node"), None)
    """Whether a process a rank or a process a node is started; the framework's own where it is null."""
    environment: dict[str, Any] = text(dict, longest=ARGUMENT)
    """Variables of every rank. They go before the site's, and both before the plan's."""
    secrets: dict[str, Any] = field(default_factory=dict)
    """Variable -> a file on the cluster, or {secret, key}: values never enter a plan."""
    workdir: Optional[str] = None
    """The folder that ranks start in."""
    image: Optional[str] = None
    """The container image."""
    mounts: list[Any] = field(default_factory=list)
    """`SOURCE:TARGET[:ro]`, or {source, target, read_only}."""
    python: str = text("python3", shortest=1)
    """The interpreter that starts our own programs on the cluster."""
    time_limit: str = "24:00:00"
    """Of the job, `HH:MM:SS`."""
    spare_nodes: int = between(0, NODES, 0)
    """Nodes kept in reserve."""
    max_restarts: int = between(0, INT32, 3)
    """How often ranks may start again."""
    checkpoint_signal_s: int = quantity("s", (0, INT32), (1, 1e5), 120)
    """Seconds before the end at which ranks are told to save; 0 for never."""
    checkpoint: Optional[str] = None
    """A file or folder that changes with every checkpoint: progress, in the eyes of a restart."""
    max_idle_restarts: int = between(0, INT32, 1)
    """Restarts that may follow each other without progress."""
    restart_codes: list[int] = numbers(1, 255, 255)
    """Exit codes of a rank that are worth a restart; any where there are none."""
    spans: str = choice(("warn", "require"), "warn")
    """What happens where groups are farther apart on the hosts that a job got than planned: a warning, or no start (exit 65)."""
    preflight: Preflight = field(default_factory=Preflight)
    """What each node is held against before ranks start on it; one that fails is left out, and a spare takes its place."""
