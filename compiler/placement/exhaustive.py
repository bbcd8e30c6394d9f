"""Every placement of few slots that differs in where slots hang."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compiler.layout.grid import Ranks
from compiler.placement.hosts import Hosts

SLOTS = 10
MOST = 150_000
"""Placements that are scored one and all."""


def every(hosts: Hosts) -> Ranks | None:
    """Numbers of hosts, shape [placements, slots]; None where they are too many. Of places that are alike, those behind an empty one
    stay empty.
    """
    if hosts.count > SLOTS:
        return None
    members: dict[tuple[str, ...], list[int]] = {}
    for at, path in enumerate(hosts.paths):
        members.setdefault(path, []).append(at)
    places = list(members.values())
    twin = [_twin(list(members), [len(place) for place in places], at) for at in range(len(places))]
    found: list[list[int]] = []
    for row in _rows(hosts.count, [len(place) for place in places], twin):
        if len(found) >= MOST:
            return None
        used = [0] * len(places)
        numbers = []
        for place in row:
            numbers.append(places[place][used[place]])
            used[place] += 1
        found.append(numbers)
    return np.array(found, dtype=np.int64)


def _twin(paths: list[tuple[str, ...]], sizes: list[int], at: int) -> int:
    """The last place before this one that hangs beside it and is as large; itself where there is none. Leaves of one NVLink domain
    each are places beside each other as well.
    """
    alone = len(set(paths)) == len({path[:2] for path in paths})
    above = 1 if alone else len(paths[at]) - 1
    before = [i for i in range(at) if paths[i][:above] == paths[at][:above] and sizes[i] == sizes[at]]
    return before[-1] if before else at


def _rows(count: int, sizes: list[int], twin: list[int]) -> Iterator[list[int]]:
    """Places of the slots, one after the other."""
    used, row = [0] * len(sizes), list[int]()

    def further() -> Iterator[list[int]]:
        if len(row) == count:
            yield row
            return
        for at, size in enumerate(sizes):
            if used[at] < size and (used[at] or twin[at] == at or used[twin[at]]):
                used[at] += 1
                row.append(at)
                yield from further()
                row.pop()
                used[at] -= 1

    return further()
