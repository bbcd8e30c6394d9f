"""Locks between writers. They are on files, since a network file system has none across machines for folders."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


def lock(handle: int) -> None:
    """Take a file's lock until it is closed. Raises OSError where somebody has it, and where there are no locks."""
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def turn(target: Path) -> Iterator[None]:
    """One writer of a folder after the other, where the file system has locks."""
    path = target.with_name(f".{target.name}.writing")
    handle = _locked(path)
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                path.unlink()
            os.close(handle)


def _locked(path: Path) -> int | None:
    """A file that nobody else has locked, made where it is not there; None where there are no locks, or no right to one."""
    while True:
        with ExitStack() as opened:
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError:
                return None
            opened.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(handle), path.stat()):
                    opened.pop_all()
                    return handle
            except FileNotFoundError:
                continue  # the one who held it has deleted it
            except OSError:
                path.unlink(missing_ok=True)
                return None
