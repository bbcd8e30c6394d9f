"""Two sides -> every change, and the verdict on all of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

from compiler.commands.folder import AGAIN
from compiler.diff.side import Side
from compiler.diff.topic import Topic
from compiler.diff.verdict import MEANING, SERVES, Change, Verdict, worst
from compiler.errors import ConfigError
from compiler.frameworks.checkpoints import checkpoints
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Compared:
    """Changes by topic, in the topics' order."""

    old: Side
    new: Side
    verdict: Verdict
    changes: tuple[Change, ...]

    @property
    def meaning(self) -> str:
        """What the verdict says of a job of the old plan."""
        part = next(iter(self.old.parts.values()))
        if part.trains or self.verdict is not Verdict.RESTART:
            return MEANING[self.verdict]
        rules = checkpoints(part.framework)
        return SERVES if rules.rules else f"{SERVES} ({rules.read})"

    @property
    def reasons(self) -> tuple[Change, ...]:
        """The changes that the verdict is due to."""
        return tuple(change for change in self.changes if change.verdict is self.verdict)

    def of(self, topic: Topic) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.topic == topic.name)


def compare(old: Side, new: Side) -> Compared:
    """Raises ConfigError for a file of either that cannot be read, or holds something else than a plan's does."""
    if old.files == new.files:
        return Compared(old, new, Verdict.IDENTICAL, ())
    try:
        found = tuple(change for topic in topics() for change in topic.changes(old, new))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        which = " or ".join(side.label for side in (old, new) if side.edits) or f"{old.label} or {new.label}"
        raise ConfigError.of(f"{which} does not hold a whole plan: {type(error).__name__} {error}", AGAIN) from error
    return Compared(old, new, worst((change.verdict for change in found), Verdict.COSMETIC), found)


@cache
def topics() -> tuple[Topic, ...]:
    """Every topic, found by its module."""
    return tuple(sorted(_topics(), key=lambda topic: topic.place))


def _topics() -> Iterator[Topic]:
    package = importlib.import_module("compiler.diff.topics")
    for item in pkgutil.iter_modules(package.__path__):
        found: Topic = importlib.import_module(f"{package.__name__}.{item.name}").TOPIC
        yield found
