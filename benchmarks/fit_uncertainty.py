"""Fit `conf/calibration/uncertainty.yaml`: residuals of assumed curves, of memory, and of what was left out of a fit.

python -m benchmarks.fit_uncertainty --rows FOLDER [training] [serving]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import accuracy, cross, fits, predict
from benchmarks.rows.record import UNFIT, Record
from compiler.costs.constants import EIGHTY
from compiler.costs.total import cost
from compiler.speed import calibrated
from compiler.speed.fit.written import digest, figures

OUT = Path("conf/calibration/uncertainty.yaml")
HEAD = (
    "# Fitted by benchmarks/fit_uncertainty.py. Logarithms of measured over projected times (of bytes for memory): mean, and\n"
    "# the spread within which four fifths of them are. assumed: hardware without curves; model, source, date: left out of fits.\n"
)
FAMILIES = {
    "dense_training": "dense",
    "dense_single_node": "dense",
    "moe_training": "moe",
    "ttft": "ttft",
    "tpot": "tpot",
    "serving_throughput": "rate",
    "memory": "memory",
}
ALONE = 2
FOUR_FIFTHS = 0.8
EVERY = 7
"""Requests of a rank that hardly wait for each other; and of TPOT, one in so many is costed by assumed curves: they are alike."""


def assumed(record: Record) -> float:
    """What a plan says whose GPU nobody measured, in the unit that was measured; nan where it says nothing."""
    if record.world is None:
        return float("nan")
    config = record.world.config
    config = replace(config, hardware=replace(config.hardware, name="unknown", calibration=None))
    try:
        found = cost(replace(record.world, config=config), calibrated.of(config))
    except UNFIT:
        return float("nan")
    if found.projection is not None:
        return fits.step_seconds(record, found.projection.step_time_s)
    return found.prefill[0].ttft_s if record.family == "ttft" else found.decode[0].tpot_s


def residuals(records: Sequence[Record], values: Iterable[float], *, centred: bool = False) -> dict[str, Any]:
    """By family: the spread is within and between sources. A row that no fit learns from is left
    out, as its kinds of layers widen a plan's interval anyway; one that lacks an input is not, as a plan never says all.
    """
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    ids: dict[str, list[str]] = defaultdict(list)
    for record, value in zip(records, values, strict=True):
        if record.family in FAMILIES and fits.learnt_from(record) and np.isfinite(value) and value > 0:
            off = np.log(record.measured / value) * (-1 if record.metric == "tokens_s_gpu" else 1)
            found[FAMILIES[record.family]][f"{record.family}/{record.source}"].append(float(off))
            ids[FAMILIES[record.family]].append(record.id)
    return {
        name: _pooled(sources.values(), centred=centred) | {"rows": digest(ids[name])}
        for name, sources in sorted(found.items())
    }


def _pooled(sources: Iterable[Sequence[float]], *, centred: bool = False) -> dict[str, float]:
    """The spread of a normal distribution that has four fifths where they are, which long tails do not widen. A source counts by its
    rows to the power of 3/4: neither one of many nor one of three is all.
    """
    parts = [np.array(part) for part in sources]
    bias = 0.0 if centred else float(np.mean([part.mean() for part in parts]))
    off = np.concatenate([np.abs(part - bias) for part in parts])
    counts = np.concatenate([np.full(len(part), len(part) ** -0.25) for part in parts])
    order = np.argsort(off)
    reached = np.cumsum(counts[order]) / counts.sum()
    spread = float(off[order][np.searchsorted(reached, FOUR_FIFTHS)]) / EIGHTY
    return {"bias": figures(round(bias, 4)), "spread": figures(spread)}


def sampled(records: Sequence[Record]) -> list[Record]:
    """What assumed curves are held against: all steps, some TPOT, and TTFT of requests that hardly wait for each other. More of
    them come one by one when they are measured, and all at once when they are projected.
    """
    steps = [record for record in records if record.family in ("dense_training", "moe_training")]
    tokens = [record for record in records if record.family == "tpot"][::EVERY]
    return steps + tokens + [record for record in records if record.family == "ttft" and _alone(record)]


def _alone(record: Record) -> bool:
    world = record.world
    return world is not None and world.config.workload.global_batch_size <= ALONE * world.degrees.adp


def scales(records: Sequence[Record]) -> dict[str, dict[str, list[int]]]:
    """Fewest and most of GPUs and of tokens in a sequence that were measured, by family."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: {"gpus": [], "tokens": []})
    for record in records:
        family = FAMILIES.get(record.family, "memory")
        if record.world is not None and family != "memory":
            these = found[family]
            these["gpus"].append(record.world.size)
            these["tokens"].append(record.world.config.workload.longest)
    return {name: {key: [min(x), max(x)] for key, x in these.items()} for name, these in sorted(found.items())}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("what", nargs="*", default=["training", "serving"])
    args = parser.parse_args(arguments)
    wanted = {"training": ("dense", "moe", "memory"), "serving": ("tpot", "ttft", "rate")}
    names = {name for what in args.what for name in wanted[what]}
    records = [
        record for record in accuracy.load(args.rows) if not record.skipped and FAMILIES.get(record.family) in names
    ]
    content = merged(yaml.safe_load(OUT.read_text()), found(records), names)
    OUT.write_text(HEAD + yaml.safe_dump(content, sort_keys=False, width=160))
    print(OUT.read_text())


def found(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Part -> family -> what is known of it."""
    chosen = sampled(records)
    held = [record for record in records if record.family == "memory"]
    return {
        "assumed": residuals(chosen, map(assumed, chosen)),
        "fit": residuals(held, predict.predict(held)),
        **{part: residuals(records, cross.left_out(records, part), centred=True) for part in cross.PARTS},
        "measured": scales(records),
    }


def merged(old: dict[str, Any], new: dict[str, dict[str, Any]], names: Collection[str]) -> dict[str, Any]:
    """The families of `names` anew, the others as they were."""
    kept = {part: {name: value for name, value in old[part].items() if name not in names} for part in new}
    own = {part: {name: value for name, value in these.items() if name in names} for part, these in new.items()}
    return {part: dict(sorted({**kept[part], **own[part]}.items())) for part in new}


if __name__ == "__main__":
    main()
