"""Answers as aligned plain text. What is long is shortened unless the whole is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from compiler.commands.answers import (
    Answer,
    Collective,
    GroupAnswer,
    Neighbour,
    Place,
    RankAnswer,
    SlotAnswer,
    SpareAnswer,
)
from compiler.words import gigabytes, readable, seconds, size

T = TypeVar("T")

SHORT_LIST = 8
"""Numbers of a list that are printed."""
SHORT_TABLE = 32
"""Rows of a table that are printed."""


def text(answer: Answer, *, whole: bool) -> Iterator[str]:
    """Lines of one answer."""
    if isinstance(answer, RankAnswer):
        yield from _rank(answer, whole)
    elif isinstance(answer, GroupAnswer):
        yield from _group(answer, whole)
    elif isinstance(answer, SlotAnswer):
        yield from _slot(answer, whole)
    else:
        yield from _spare(answer)


def _experts(answer: RankAnswer, whole: bool) -> str:
    if not answer.experts_by_layer:
        return answer.experts or "none"
    by_layer = [f"{layer}: {ids}" for layer, ids in answer.experts_by_layer.items()]
    return "differ by layer: " + ", ".join(item or "..." for item in shortened(by_layer, SHORT_LIST, whole))


def _rank(answer: RankAnswer, whole: bool) -> Iterator[str]:
    first, *others = answer.places
    rows = [("place", _place(first))]
    rows += [
        ("...", "") if at is None else (f"instance {at.instance}", _place(at))
        for at in shortened(others, SHORT_LIST, whole)
    ]
    rows += [
        ("coordinates", _pairs(answer.coordinates)),
        ("layers", answer.layers or "none"),
        ("experts", _experts(answer, whole)),
        ("memory", _memory(answer.memory)),
        ("previous stage", _neighbour(answer.previous_stage)),
        ("next stage", _neighbour(answer.next_stage)),
    ]
    yield answer.query
    yield from _indented(aligned(rows))
    yield ""
    yield from _indented(
        aligned(
            [("group", "position", "size", "span", "peers", "ranks")]
            + [
                (item.group, item.position, item.size, item.span, _peers(item.peers), numbers(item.ranks, whole))
                for item in answer.groups
            ]
        )
    )
    yield ""
    yield from _indented(_collectives(answer.collectives))


def _group(answer: GroupAnswer, whole: bool) -> Iterator[str]:
    crossed = {"nodes": answer.nodes, "NVLink domains": answer.domains, "leaves": answer.leaves, "pods": answer.pods}
    rows = [
        ("size", str(answer.size)),
        ("span", answer.span),
        ("crosses", _pairs(crossed)),
    ]
    yield answer.query
    yield from _indented(aligned(rows))
    yield ""
    members = [
        (position, at.rank, at.slot, at.host or "-", at.local_rank, at.leaf, at.pod, item.link)
        for position, item in enumerate(answer.members)
        for at in (item.place,)
    ]
    header = ("position", "rank", "slot", "host", "local rank", "leaf", "pod", "link to next")
    shown = [row or ("..",) * len(header) for row in shortened(members, SHORT_TABLE, whole)]
    yield from _indented(aligned([header, *shown]))
    yield ""
    yield from _indented(_collectives(answer.collectives))


def _slot(answer: SlotAnswer, whole: bool) -> Iterator[str]:
    rows = [("slot", answer.slot), ("host", answer.host or "not bound"), ("leaf", answer.leaf), ("pod", answer.pod)]
    yield answer.query
    yield from _indented(aligned(rows))
    yield ""
    if not answer.ranks:
        yield "  no rank of the plan is on this slot"
        return
    several = any(item.place.gpu != item.place.local_rank for item in answer.ranks)
    table: list[Sequence[object]] = [
        ("rank", "instance", "local rank", *["GPU"] * several, *answer.ranks[0].coordinates, "layers", "experts")
    ]
    table += [
        (
            *(at.rank, at.instance, at.local_rank, *[at.gpu] * several),
            *(*item.coordinates.values(), item.layers or "-", item.experts or "-"),
        )
        for item in answer.ranks
        for at in (item.place,)
    ]
    yield from _indented(aligned(table))
    yield ""
    groups: list[Sequence[object]] = [("groups", "instance", "worst span", "inside", "leaving")]
    groups += [
        (item.kind, item.instance, item.worst_span, numbers(item.inside, whole), numbers(item.leaving, whole))
        for item in answer.groups
    ]
    yield from _indented(aligned(groups))


def _spare(answer: SpareAnswer) -> Iterator[str]:
    yield answer.query
    yield "  a spare: no rank of the plan is on this host"


def _place(at: Place) -> str:
    gpu = f", GPU {at.gpu}" * (at.gpu != at.local_rank)
    return (
        f"slot {at.slot}, host {at.host or 'not bound'}, local rank {at.local_rank}{gpu}, leaf {at.leaf}, pod {at.pod}"
    )


def _neighbour(other: Neighbour | None) -> str:
    return "none" if other is None else f"rank {other.place.rank} over {other.link}: {_place(other.place)}"


def _pairs(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _peers(peers: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {span}" for span, count in peers.items()) or "-"


def _memory(stage: Mapping[str, Any]) -> str:
    """`4.884 GB of 64.000 GB (7.6%) on rank 768, the fullest of stage 3: weights 0.703 GB, ...`."""
    left_out = ("total_bytes", "capacity_bytes")
    parts = {key.removesuffix("_bytes"): value for key, value in stage.items() if key.endswith("_bytes") and value}
    parts = {key.replace("_", " "): value for key, value in parts.items() if f"{key}_bytes" not in left_out}
    total, capacity = stage["total_bytes"], stage["capacity_bytes"]
    held = f"{gigabytes(total)} of {gigabytes(capacity)} ({total / capacity:.1%})"
    split = ", ".join(f"{key} {gigabytes(value)}" for key, value in parts.items())
    return f"{held} on rank {stage['worst_rank']}, the fullest of stage {stage['pp']}: {split}"


def _collectives(rows: Iterable[Collective]) -> Iterator[str]:
    """What `communication` says of some kinds; its figures are those of the busiest stage and the worst group."""
    table: list[Sequence[object]] = [
        ("runs on", "phase", "collective", "of", "count", "bytes a call", "bytes a rank", "time", "overlapped")
    ]
    table += [
        (
            row["kind"],
            row["phase"],
            row["op"],
            row["role"],
            readable(row["count"]),
            size(row["bytes_per_call"]),
            size(row["bytes_per_rank"]),
            seconds(row["seconds"]),
            "yes" if row["overlapped"] else "no",
        )
        for row in rows
    ]
    if len(table) == 1:
        yield "no collectives"
        return
    yield from aligned(table)
    yield "(of a whole phase, on the busiest stage and the worst group of its kind)"


def numbers(values: Sequence[int], whole: bool) -> str:
    """`0 4 8 .. 60`."""
    return " ".join(".." if value is None else str(value) for value in shortened(values, SHORT_LIST, whole)) or "-"


def shortened(values: Sequence[T], limit: int, whole: bool) -> list[T | None]:
    """The values, or where they are more than `limit` the first ones, None and the last one."""
    return [*values] if whole or len(values) <= limit else [*values[: limit - 2], None, values[-1]]


def aligned(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Columns two spaces apart, flush left. Ours, and not rich's: these lines are for pipes too, and are never cut to a width."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
