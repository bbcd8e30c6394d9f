"""The grid of ranks: a block a leaf, in it a frame a node, in it a square a rank; of many ranks a square is a node."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from compiler.report.draw.scale import LETTER, WIDTH
from compiler.report.figures import MOST, GroupsOf, RankGrid

SHADES = 8
CELL, ROOM, LABEL = 10, 6, 16
"""Sizes of a square and what is around it, of the space around a node, and of a leaf's name."""
FEW, LARGE = 512, 16
"""So few ranks have larger squares."""


class Shape(NamedTuple):
    """Squares of a node beside and above each other, and nodes of a leaf beside each other."""

    columns: int
    rows: int
    across: int
    framed: bool
    cell: int = CELL

    @property
    def node(self) -> tuple[int, int]:
        room = ROOM if self.framed else 0
        return self.columns * self.cell + room, self.rows * self.cell + room

    def block(self, nodes: int) -> tuple[int, int]:
        wide, high = self.node
        return min(nodes, self.across) * wide + 12, math.ceil(nodes / self.across) * high + LABEL + 8


def drawn(figure: RankGrid) -> dict[str, Any]:
    """Squares in the order of ranks (or of nodes), what frames them, and the closed forms that a script reads."""
    tiles = figure.ranks > MOST
    shape = _shape(figure, tiles)
    labels, frames, height = [], list[tuple[int, int]](), 0
    for label, origin, count, bottom in _blocks(figure, shape):
        labels.append((*origin, label))
        frames += _nodes(origin, count, shape)
        height = max(height, bottom)
    return {
        "height": height,
        "size": shape.node,
        "framed": shape.framed,
        "side": shape.cell - 1,
        "labels": labels,
        "nodes": [
            (x, y, f"slot {slot}{f', host {host}' if host else ''}")
            for (x, y), (slot, host) in zip(frames, figure.nodes, strict=True)
        ],
        "cells": list(_cells(figure, frames, shape, tiles)),
        "tiles": tiles,
        "data": {
            "each": figure.each,
            "tiles": int(tiles),
            "axes": "/".join(
                ",".join(f"{name}:{size}:{stride}" for name, size, stride in axes) for axes in figure.axes
            ),
            "slots": _slots(figure),
        },
    }


def kinds(figure: RankGrid) -> list[tuple[str, str, str]]:
    """Of each kind of groups its closed form as a script reads it, its words, and its name."""
    return [(_closed(kind), _words(kind), kind.kind) for kind in figure.kinds]


def names(figure: RankGrid) -> list[tuple[str, int]]:
    """What shades stand for, where each thing has one of its own."""
    count = len(figure.names)
    return [(name, _shade(index, count)) for index, name in enumerate(figure.names)] if count <= SHADES else []


def _shape(figure: RankGrid, tiles: bool) -> Shape:
    columns = 1 if tiles else math.ceil(math.sqrt(figure.each * 2)) if figure.each > 2 else figure.each
    rows = 1 if tiles else math.ceil(figure.each / columns)
    cell = LARGE if figure.ranks <= FEW else CELL
    wide = columns * cell + ROOM * (not tiles)
    most = max((count for _, count in figure.leaves), default=1)
    fitting = max(1, (WIDTH - 12) // wide)
    return Shape(columns, rows, min(fitting, most if tiles and most <= 32 else 16 if tiles else 8), not tiles, cell)


def _blocks(figure: RankGrid, shape: Shape) -> Iterator[tuple[str, tuple[int, int], int, int]]:
    """Each leaf's name, corner, nodes and lower end, from left to right and on."""
    x = y = high = 0
    for label, count in figure.leaves:
        wide, tall = shape.block(count)
        wide = max(wide, int(LETTER * len(label)) + 12)
        if x and x + wide > WIDTH:
            x, y, high = 0, y + high, 0
        yield label, (x, y), count, y + tall
        x, high = x + wide, max(high, tall)


def _nodes(origin: tuple[int, int], count: int, shape: Shape) -> Iterator[tuple[int, int]]:
    wide, tall = shape.node
    for index in range(count):
        yield origin[0] + index % shape.across * wide, origin[1] + LABEL + index // shape.across * tall


def _cells(
    figure: RankGrid, frames: list[tuple[int, int]], shape: Shape, tiles: bool
) -> Iterator[tuple[int, int, int]]:
    """Corner and shade of each rank's square, or of each node's."""
    offset, each = 2 if shape.framed else 0, figure.each if tiles else 1
    for node, (x, y) in enumerate(frames):
        for index in range(1 if tiles else figure.each):
            rank = node * figure.each + index
            if rank < figure.ranks:
                column, row = index % shape.columns, index // shape.columns
                shade = _shade(max(figure.shades[rank : rank + each]), len(figure.names))
                yield x + offset + column * shape.cell, y + offset + row * shape.cell, shade


def _shade(index: int, count: int) -> int:
    """One of SHADES, as far apart as they can be; a single thing has a middle one."""
    return index * (SHADES - 1) // (count - 1) if count > 1 else SHADES // 2


def _slots(figure: RankGrid) -> str:
    """The number of the first slot, where the others follow it."""
    return str(figure.nodes[0][0] if figure.nodes else 0)


def _closed(kind: GroupsOf) -> str:
    return "/".join(",".join(f"{size}:{stride}" for size, stride in runs) for runs in (kind.members, kind.bases))


def _words(kind: GroupsOf) -> str:
    size, count = (math.prod(each for each, _ in runs) for runs in (kind.members, kind.bases))
    return f"{kind.kind}: {count:,} of {size:,}, {kind.span}"
