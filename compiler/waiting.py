"""What a person sees of a command that takes a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

Tell = Callable[[float], None]
"""What part of the work is done, from 0 to 1."""

WIDTH = 30
"""Characters of a bar."""


@contextmanager
def waiting(what: str) -> Iterator[Tell]:
    """On a terminal, what is being done, for how long, and a bar of how much of it where that is told, once it takes over a second; nothing
    elsewhere.
    """
    parts = [0.0]
    if sys.stderr is None or not sys.stderr.isatty():
        yield parts.append
        return
    done = Event()

    def count() -> None:
        seconds = 0
        while not done.wait(1.0):
            seconds += 1
            print(f"\r{what} {_bar(parts[-1])}{seconds} s", end="", file=sys.stderr, flush=True)
        if seconds:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    teller = Thread(target=count, daemon=True)
    teller.start()
    try:
        yield parts.append
    finally:
        done.set()
        teller.join()


def _bar(part: float) -> str:
    """Nothing where nobody has told a part."""
    full = round(part * WIDTH)
    return f"[{'#' * full}{'.' * (WIDTH - full)}] {part:.0%} " if part else ""
