"""Switches, blocks and rings, whatever the form that they were written in -> where each host hangs.

A leaf is a unit that names nodes. Units above it that share a child are one, as the spines of a fat tree are: whatever hangs
below them is as near to each other through any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from compiler.cluster import hostlist
from compiler.cluster.inventory import Host, is_host
from compiler.errors import ConfigError, short
from compiler.frozen import dataclass
from compiler.words import natural

MOST_ROUNDS = 64
MOST_NAMES = 2**21
"""Names of nodes and switches that one file may stand for: each of 64 spines names all of 4,096 leaves, and more."""


@dataclass(frozen=True)
class Unit:
    """A switch, a block or a ring: the line that it stands in, its nodes, and the units below it."""

    name: str
    line: int
    nodes: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    word: str = "switch"


def names(what: str, line: int, key: str, expression: str) -> tuple[str, ...]:
    """A host list. Raises ConfigError with its line."""
    try:
        return hostlist.expand(expression)
    except ValueError as error:
        raise ConfigError.of(
            f"{what} line {line}: {key}={short(expression)} {error}", "write a host list such as node[001-128,130]"
        ) from error


def counted(what: str, units: Iterable[Unit]) -> list[Unit]:
    """The units. Raises ConfigError as soon as they have more names than any fabric: a short line can stand for many."""
    found, total = [], 0
    for unit in units:
        total += len(unit.nodes) + len(unit.children)
        if total > MOST_NAMES:
            raise ConfigError.of(
                f"{what} line {unit.line}: the topology has more than {MOST_NAMES:,} names up to here",
                "name fewer nodes",
            )
        found.append(unit)
    return found


def by_name(what: str, units: Iterable[Unit]) -> dict[str, Unit]:
    """Raises ConfigError for a name that two units have, a unit with nothing or with both kinds of children, and none at all."""
    found: dict[str, Unit] = {}
    for unit in units:
        start = f"{what} line {unit.line}: {unit.word} {short(unit.name)}"
        if unit.name in found:
            raise ConfigError.of(
                f"{start} was declared in line {found[unit.name].line} already", "give each a name of its own"
            )
        if unit.nodes and unit.children:
            raise ConfigError.of(
                f"{start} has both nodes and switches below it", "give the nodes a switch of their own"
            )
        if not unit.nodes and not unit.children:
            raise ConfigError.of(f"{start} has no node below it", "name its nodes, or take it out")
        found[unit.name] = unit
    if not any(unit.nodes for unit in found.values()):
        raise ConfigError.of(f"{what} line 1: the topology is empty, it names no node", "list the nodes of each leaf")
    return found


def once(what: str, units: Iterable[Unit]) -> Iterator[tuple[str, Unit]]:
    """Each node with its unit. Raises ConfigError for a node that is no host name or stands in two places."""
    seen: dict[str, Unit] = {}
    for unit in units:
        for node in unit.nodes:
            if node in seen:
                other = seen[node]
                where = (
                    "twice"
                    if other is unit
                    else f"on {unit.word} {unit.name} and, in line {other.line}, on {other.name}"
                )
                raise ConfigError.of(
                    f"{what} line {unit.line}: node {short(node)} hangs {where}", "write each node on one leaf, once"
                )
            if not is_host(node):
                raise ConfigError.of(
                    f"{what} line {unit.line}: '{short(node)}' is not a host name", "write a host name"
                )
            seen[node] = unit
            yield node, unit


def tree(what: str, given: Iterable[Unit]) -> tuple[Host, ...]:
    """Hosts of a tree or a fat tree; `pod` names the units above a leaf, without the one that all have in common.

    Raises ConfigError with the line of a unit that is below none, below itself, or not there.
    """
    units = by_name(what, given)
    _refuse_unknown(what, units)
    _refuse_loops(what, units)
    above = _classes(units)
    leaves = [unit for unit in units.values() if unit.nodes]
    paths = dict(zip([leaf.name for leaf in leaves], pods([_path(leaf.name, above) for leaf in leaves]), strict=True))
    return tuple(Host(node, unit.name, paths[unit.name], unit.name) for node, unit in once(what, leaves))


def groups(what: str, given: Iterable[Unit], pod: Callable[[str], str] = lambda _: "") -> tuple[Host, ...]:
    """Hosts of blocks, rings or toruses, each a leaf and a rack; `pod` says what a unit of that name is a part of."""
    units = by_name(what, given)
    return tuple(Host(node, unit.name, pod(unit.name), unit.name) for node, unit in once(what, units.values()))


def pods(paths: Sequence[Sequence[str]]) -> list[str]:
    """Names of what is above each leaf, nearest first, as one name; what all have at the top says nothing, unless it is all there is."""
    tops = {tuple(path[-1:]) for path in paths}
    most = max(map(len, paths), default=0)
    shared = len(tops) == 1 and most > 1
    return [".".join(reversed(path[:-1] if shared else path)) for path in paths]


def _refuse_unknown(what: str, units: Mapping[str, Unit]) -> None:
    for unit in units.values():
        for child in unit.children:
            if child not in units:
                raise ConfigError.of(
                    f"{what} line {unit.line}: {unit.word} {short(unit.name)} has the child {short(child)}, which is nowhere declared",
                    f"declare {short(child)} with its nodes, or take it out",
                )


def _refuse_loops(what: str, units: Mapping[str, Unit]) -> None:
    """Take away what has no child left, until nothing does: the rest are in loops, or above one."""
    left = {name: set(unit.children) for name, unit in units.items()}
    parents: dict[str, list[str]] = {}
    for unit in units.values():
        for child in unit.children:
            parents.setdefault(child, []).append(unit.name)
    ready = [name for name, children in left.items() if not children]
    while ready:
        name = ready.pop()
        del left[name]
        for parent in dict.fromkeys(parents.get(name, ())):
            left[parent].discard(name)
            if not left[parent]:
                ready.append(parent)
    if left:
        name = _in_loop(left)
        raise ConfigError.of(
            f"{what} line {units[name].line}: {units[name].word} {short(name)} is below itself",
            "take one of the children out of the loop",
        )


def _in_loop(left: Mapping[str, set[str]]) -> str:
    """A unit of a loop: going down from any never ends, and what is met twice is in one."""
    name, met = min(left), set[str]()
    while name not in met:
        met.add(name)
        name = min(child for child in left[name] if child in left)
    return name


def _classes(units: Mapping[str, Unit]) -> dict[str, str]:
    """Unit -> name of what is directly above it; none at the top. Units that share a child, and what is above them, are one."""
    root: dict[str, str] = {name: name for name in units}

    def find(name: str) -> str:
        while root[name] != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    parents: dict[str, list[str]] = {}
    for unit in units.values():
        for child in unit.children:
            parents.setdefault(child, []).append(unit.name)
    for _ in range(MOST_ROUNDS):  # a round a level: each may join what is above it
        changed = False
        first: dict[str, str] = {}
        for child, above in parents.items():
            for parent in above:
                one, other = find(first.setdefault(find(child), parent)), find(parent)
                if one != other:
                    low, high = sorted((one, other), key=natural)
                    root[high], changed = low, True
        if not changed:
            break
    return {child: find(above[0]) for child, above in parents.items()}


def _path(name: str, above: Mapping[str, str]) -> list[str]:
    """Names of what is above a unit, nearest first."""
    found: list[str] = []
    while name in above and above[name] not in found:
        name = above[name]
        found.append(name)
    return found
