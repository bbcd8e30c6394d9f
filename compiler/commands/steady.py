"""Several files of a plan folder, all of one plan, though it may be compiled again meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from compiler.errors import ConfigError
from compiler.render.atomic import recover

T = TypeVar("T")
TRIES = 20


def steady(folder: Path, read: Callable[[], T]) -> T:
    """What `read` gives, or raises, where the folder was not replaced from its beginning to its end; else once more.

    A writer puts another folder in the place of this one, so it is enough to hold it open and to look whether it is still
    there. Raises ConfigError for one that never stands still.
    """
    for path in (folder.absolute().parent, folder.absolute()):
        with suppress(OSError):  # nothing is there to be put back, or somebody else has to
            recover(path)
    for _ in range(TRIES):
        try:
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return read()  # which says what is wrong with it
        try:
            try:
                found = read()
            except Exception:
                if _there(held, folder):
                    raise
                continue
            if _there(held, folder):
                return found
        finally:
            os.close(held)
    raise ConfigError.of(f"{folder} was replaced {TRIES} times while it was read", "ask again when nobody compiles it")


def _there(held: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(held), folder.stat())
    except OSError:
        return False
