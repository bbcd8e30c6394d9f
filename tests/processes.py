"""Who is still running: processes are known by a text in their environment, which all that they start inherits."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tests.slurm_cluster import until


def alive(text: str) -> dict[int, str]:
    """Process -> command line, of the living whose environment holds `text`."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if text.encode() in (path / "environ").read_bytes():
                found[int(path.name)] = (path / "cmdline").read_bytes().decode().replace("\0", " ")
    return found


def none_left(text: str, seconds: float) -> None:
    """Fails where some are left after that time."""
    until(lambda: not alive(text), f"{list(alive(text).values())[:5]} to end", seconds)
