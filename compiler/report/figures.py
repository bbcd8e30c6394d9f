"""Figures of a report, whatever draws them: plain data in SI units, with the path of each number in `plan.json`."""

from __future__ import annotations

from typing import NamedTuple

from compiler.frozen import dataclass
from compiler.report.told import Number


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Figure:
    """`name` is what `plan.figure` knows it by, `about` a sentence for who cannot see it."""

    name: str
    title: str
    about: str


class Bar(NamedTuple):
    """Parts that add up to a whole; `low` and `high` are where four of five measurements of it would lie."""

    label: str
    parts: tuple[Number, ...]
    low: Number | None = None
    high: Number | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Bars(Figure):
    """Stacked bars under each other, of one unit (`bytes` or `seconds`), with a line at `limit`."""

    unit: str
    bars: tuple[Bar, ...]
    limit: Number | None = None


MOST = 4096
"""Ranks of a grid that have a square each; of more a square is a node."""


class GroupsOf(NamedTuple):
    """Groups of a kind in closed form, (size, stride) of members and of bases, and how far they reach."""

    kind: str
    members: tuple[tuple[int, int], ...]
    bases: tuple[tuple[int, int], ...]
    span: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RankGrid(Figure):
    """Ranks of an instance on its nodes, `each` of them on one. `nodes`: the slot's number and its host (empty where it is not
    bound) of each; `leaves`: name and how many nodes, in the nodes' order. `axes`: (name, size, stride) of both grids. `shades`: of
    each rank, an index into `names`, the later the stronger; a square of several ranks has the strongest of theirs. `path`: of the count of ranks.
    """

    ranks: int
    each: int
    nodes: tuple[tuple[int, str], ...]
    leaves: tuple[tuple[str, int], ...]
    kinds: tuple[GroupsOf, ...]
    axes: tuple[tuple[tuple[str, int, int], ...], ...]
    shades: tuple[int, ...]
    names: tuple[str, ...]
    path: str = "world_size"


class Piece(NamedTuple):
    """Work on a lane: `kind` is F, B, I or W as pipeline orders have it, FB for a forward pass beside a backward one, or R for what
    repeats.
    """

    start_s: float
    end_s: float
    kind: str
    label: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Lanes(Figure):
    """A pipeline's step: a lane for each stage until `pipeline_s`, then `tail`, which is of all; together `whole`."""

    lanes: tuple[tuple[str, tuple[Piece, ...]], ...]
    pipeline_s: float
    tail: tuple[Number, ...]
    whole: Number


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Heat(Figure):
    """A matrix on a logarithmic scale; `cells` has (row, column, number) of what is not zero."""

    labels: tuple[str, ...]
    rows: str
    columns: str
    cells: tuple[tuple[int, int, Number], ...]
    unit: str = "bytes"


class Series(NamedTuple):
    """A value for each entry of an axis."""

    label: str
    values: tuple[Number, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Levels(Figure):
    """Series over one axis, beside each other: before and after."""

    axis: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]


class Point(NamedTuple):
    """`name` stands beside it where there is room; `around`: both ends of the interval of its rate, or of its time; `front`: none is
    better in both; `measured`: no plan of ours, but a run.
    """

    label: str
    x: Number
    y: Number
    around: tuple[Number, Number] | None = None
    front: bool = False
    measured: bool = False
    name: str = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Points(Figure):
    """Plans by two figures. `limits`: (name, `x` or `y`, value); `along`: which of the two axes intervals are of."""

    x: str
    y: str
    points: tuple[Point, ...]
    along: str = "y"
    x_unit: str = "number"
    y_unit: str = "number"
    limits: tuple[tuple[str, str, float], ...] = ()
