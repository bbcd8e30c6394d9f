"""What a person sees of a command that takes a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """On a terminal, what is being done and for how long, once that is over a second; nothing elsewhere."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = Event()

    def count() -> None:
        seconds = 0
        while not done.wait(1.0):
            seconds += 1
            print(f"\r{what} {seconds} s", end="", file=sys.stderr, flush=True)
        if seconds:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    teller = Thread(target=count, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
