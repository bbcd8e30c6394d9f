"""Work that is killed on its way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(act: Callable[..., object], *args: object) -> None:
    act(*args)
    die()


def killed(act: Callable[[], None]) -> bool:
    """Run in a process of its own, and say whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def dying_after(text: str) -> Iterator[str]:
    """Chunks of a file that is never finished."""
    yield text
    die()
