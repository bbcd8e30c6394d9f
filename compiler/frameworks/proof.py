"""A plan held against what the framework itself builds: the common language of every `frameworks/<name>/prove.py`.

Such a module has `prove(world, source) -> Iterator[Finding]`; `source` is a wheel (or an unpacked one) to take the
framework from, None for the installed package. It raises NotInstalledError where there is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from compiler.errors import ConfigError
from compiler.frameworks.versions import version
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.specs.config import Config


class NotInstalledError(ConfigError):
    """The framework, or a package that its oracle needs, cannot be imported."""


@dataclass(frozen=True)
class Finding:
    """One thing that was compared: what the plan says and what the framework says of it."""

    what: str
    equal: bool
    planned: str
    found: str


def compared(what: str, planned: object, found: object) -> Finding:
    """A finding about two values."""
    return Finding(what, planned == found, str(planned), str(found))


def unprovable(server: str, why: str) -> Finding:
    """That arguments were not resolved, for no `config.json` can be written of the model: never equal, by another model's."""
    return Finding(
        f"not provable: {why}", False, "as compiled", f"{server}'s resolver was not asked: no config.json of {why}"
    )


RELEASE = "version"


def release(config: Config, number: str) -> Finding:
    """Whether the framework that is found is a release of the range whose rules the plan follows."""
    found = replace(config, framework=replace(config.framework, version=number))
    ours, theirs = version(config), version(found)
    return Finding(RELEASE, theirs.known and theirs.span == ours.span, ours.number, number)


def groups(kind: str, planned: Ranks, found: Sequence[Sequence[int]]) -> Finding:
    """A finding about a kind of group: which groups there are, their order, and the order of ranks in each."""
    mine = [tuple(row) for row in planned.tolist()]
    theirs = [tuple(row) for row in found]
    size = f"{len(mine)} groups of {planned.shape[1]}"
    if mine == theirs:
        return Finding(f"groups {kind}", equal=True, planned=size, found=size)
    at = next(
        (i for i, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]), min(len(mine), len(theirs))
    )
    how = _difference(mine, theirs)
    return Finding(
        f"groups {kind}",
        equal=False,
        planned=f"{size}; {how}; group {at}: {_shown(mine, at)}",
        found=f"{len(theirs)} groups; group {at}: {_shown(theirs, at)}",
    )


def _difference(mine: list[tuple[int, ...]], theirs: list[tuple[int, ...]]) -> str:
    """The weakest sense in which two lists of groups differ."""
    if sorted(mine) == sorted(theirs):
        return "the same groups in another order"
    if {frozenset(row) for row in mine} == {frozenset(row) for row in theirs}:
        return "the same sets of ranks, ordered otherwise"
    return "other sets of ranks"


def _shown(rows: list[tuple[int, ...]], at: int) -> str:
    if at >= len(rows):
        return "none"
    row = rows[at]
    return " ".join(map(str, row if len(row) <= 16 else (*row[:15], "...")))
