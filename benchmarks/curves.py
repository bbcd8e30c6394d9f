"""Link curves fitted to collectives, and what the program takes where a GPU or an operation was not measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.rows.hardware import nominal
from benchmarks.rows.record import Record
from compiler import gpus
from compiler.costs.arrays import array
from compiler.costs.calibration import GpuCalibration, LinkCurve, completed
from compiler.costs.comm import collectives
from compiler.costs.comm.algorithms import ALGORITHMS
from compiler.speed.fit import links

FEWEST = 10
"""Calls of an operation on a GPU that make a curve."""


def groups(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Calls in one NVLink domain by GPU file and operation; not with an algorithm switched off by hand."""
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        ask = dict(record.ask or {}) if record.family == "collectives" and record.measured > 0 else {}
        if ask and ask["reach"].domains == 1 < ask["reach"].size and "disabled" not in ask["algo"]:
            found[record.gpu, ask["op"]].append(record)
    return {key: calls for key, calls in found.items() if sum(map(_long_enough, calls)) >= FEWEST}


def _long_enough(record: Record) -> bool:
    return float((record.ask or {})["size"]) >= links.SMALLEST


def curve(calls: Sequence[Record]) -> tuple[LinkCurve, float]:
    """Of one GPU and operation; and its mean error."""
    asks = [dict(record.ask or {}) for record in calls]
    samples: list[links.Sample] = [
        {"bytes": ask["size"], "ranks": ask["reach"].size, "seconds": record.measured, "source": record.source}
        for record, ask in zip(calls, asks, strict=True)
    ]
    return links.fit(samples, ALGORITHMS[asks[0]["op"]].passes, nominal(calls[0].gpu).nvlink.bandwidth)


def fitted(records: Iterable[Record]) -> Mapping[str, GpuCalibration]:
    """GPU file -> its curves."""
    found: dict[str, dict[str, LinkCurve]] = defaultdict(dict)
    for (gpu, op), calls in groups(records).items():
        found[gpu][op] = curve(calls)[0]
    return {gpu: GpuCalibration(name=gpu, links=curves) for gpu, curves in found.items()}


def kin(gpu: str, known: Iterable[str]) -> str:
    """The GPU whose curves a cluster without its own names: of the same architecture, else of the next; empty for none."""
    order = list(gpus.GENERATIONS)
    place = {name: order.index(gpus.generation(name)) for name in [*known, gpu] if gpus.generation(name)}
    others = [name for name in place if name != gpu and gpu in place]
    return min(others, key=lambda name: (abs(place[name] - place[gpu]), name), default="")


def seconds(record: Record, curves: GpuCalibration | None) -> float:
    """One call; by assumed curves where there are none."""
    ask = dict(record.ask or {})
    curves = gpus.on(record.gpu, completed(curves or GpuCalibration(), ask["hardware"]))
    curves = curves.without_switch() if ask["algo"].startswith("Ring") else curves
    return float(collectives.seconds(ask["op"], array(ask["size"]), ask["reach"], ask["hardware"], curves))


def left_out(records: Sequence[Record], key: Callable[[Record], str]) -> list[tuple[Record, float]]:
    """Each record by curves of those that differ from it in their key."""
    calls = [record for record in records if record.family == "collectives" and record.ask]
    found: list[tuple[Record, float]] = []
    for name in sorted({key(record) for record in calls if not record.skipped}):
        curves = fitted(record for record in calls if key(record) != name)
        for record in calls:
            if key(record) == name and not record.skipped:
                own = curves.get(record.gpu) or curves.get(kin(record.gpu, curves))
                found.append((record, seconds(record, own)))
    return found
