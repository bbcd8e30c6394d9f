"""Times and rates of a step, of prefill and of decode, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report import breakdown
from compiler.report.blocks import Block, Section, Table, shown
from compiler.report.told import told
from compiler.words import number, readable, seconds

Line = tuple[str, str]

REPORT, CONSOLE = (90, 30)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    projection = contents["projection"]
    found = tuple(_of_one(plan, contents) if plan.alone else _of_pools(contents))
    served = projection.get("serve", {}).get("aggregated", ()) if plan.alone else contents["served"]
    yield Section("Projection", shown(found), lines=(*_lines(projection), *_served(served)))


def _of_one(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Block]:
    projection = contents["projection"]
    together = breakdown.together(projection.get("serve", {}).get("aggregated", ()), "projection.serve.aggregated")
    yield _basis(_measured_on(plan.config.hardware.calibration))
    yield table(projection)
    yield from breakdown.figures(contents, contents["degrees"]["pp"])
    yield breakdown.parts(projection, contents["degrees"]["pp"])
    if together.rows:
        yield "Prefill and decode on the same ranks, for clients that each ask again when they are answered:"
        yield together
    yield breakdown.run(projection)


def _of_pools(contents: Mapping[str, Any]) -> Iterator[Block]:
    projection, together = contents["projection"], breakdown.together(contents["served"], "served")
    stages = max(pool["degrees"]["pp"] for pool in contents["pools"].values())
    yield "Of one instance of each pool."
    yield table(projection)
    yield from breakdown.figures(contents, stages)
    yield breakdown.parts(projection, stages)
    if together.rows:
        yield "Both pools, for clients that each ask again when they are answered:"
        yield together


def _basis(calibration: str | None) -> str:
    if calibration:
        return f"From curves measured on {calibration}. Four of five measurements would lie in the intervals."
    return (
        "From peak rates, efficiencies and latencies of the hardware file; not calibrated against measurements. Four of five "
        "measurements would lie in the intervals, as they do where such a roofline was held against them."
    )


def _measured_on(calibration: str | None) -> str | None:
    """The name of a plan's curves."""
    if calibration is None or "\n" not in calibration:
        return calibration
    from compiler.speed import calibrated

    found = calibrated.gpu(calibration)
    return found.name if found and found.name != calibration else "a file of the site"


def table(projection: Mapping[str, Any]) -> Table:
    return _training(projection["train"]) if "train" in projection else _serving(projection["serve"])


def _training(step: Mapping[str, Any]) -> Table:
    time, around = breakdown.timed(step, "step_time", "projection.train")
    rates = {
        "tokens/s": "tokens_per_s",
        "tokens/s/GPU": "tokens_per_s_per_gpu",
        "model TFLOP/s/GPU": "model_tflops_per_gpu",
        "MFU": "mfu",
        "bubble of equal stages": "bubble_fraction",
    }
    rows = tuple((words, told(step, key, number, "projection.train")) for words, key in rates.items())
    return Table(("training", "value"), (("step", time), ("four of five steps", around), *rows))


def _serving(serve: Mapping[str, Any]) -> Table:
    rate = "tokens_per_s_per_gpu"
    prefill = [
        ("prefill", str(r["sequence_length"]), "", *breakdown.timed(r, "ttft", path), told(r, rate, number, path), "")
        for path, r in _at("prefill", serve)
    ]
    decode = [
        (
            "decode",
            str(r["context_length"]),
            str(r["batch"]),
            *breakdown.timed(r, "tpot", path),
            told(r, rate, number, path),
            told(r, "largest_batch", readable, path),
        )
        for path, r in _at("decode", serve)
    ]
    head = ("phase", "tokens", "batch", "TTFT or TPOT", "four of five", "tokens/s/GPU", "largest batch")
    return Table(head, (*prefill, *decode))


def _at(phase: str, serve: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a phase with their paths."""
    return ((f"projection.serve.{phase}.{index}", row) for index, row in enumerate(serve[phase]))


def _lines(projection: Mapping[str, Any]) -> Iterator[Line]:
    if "train" in projection:
        yield "run", _run(projection["train"])
        return
    for phase, time, length in (("prefill", "ttft", "sequence_length"), ("decode", "tpot", "context_length")):
        rows = projection["serve"][phase]
        longest = max((row[length] for row in rows), default=0)  # which is answered first
        for row in (row for row in rows if row[length] < longest):
            rate = f"{number(row['tokens_per_s_per_gpu'])} tokens/s/GPU"
            yield f"{phase} {row[length]}", f"{time.upper()} {seconds(row[f'{time}_s'])}, {rate}"


def _served(rows: Iterable[Mapping[str, Any]]) -> Iterator[Line]:
    """What clients see who each ask again when they are answered, where an engine was measured."""
    for row in rows:
        if row["ttft_s"] is not None:
            times = f"TTFT {seconds(row['ttft_s'])}, TPOT {seconds(row['tpot_s'])}"
            rate = f"{number(row['requests_per_s'])} requests/s"
            out = f"{number(row['output_tokens_per_s_per_gpu'])} output tokens/s/GPU"
            some = f", {row['running']} of {row['batch']} clients at a time" * (row["running"] < row["batch"])
            yield f"both {row['sequence_length']}", f"{times}, {rate}, {out}{some}"


def _run(row: Mapping[str, Any]) -> str:
    """What a step's speed comes to in days."""
    said = [f"{readable(row['tokens_per_day'])} tokens/day"]
    if row["goodput"] is not None:
        said.append(f"goodput {row['goodput']:.1%} at {number(row['failures_per_day'])} failures/day")
    if row["days"] is not None:
        said.append(f"{number(row['days'])} days, {readable(row['gpu_hours'])} GPU-hours")
    return ", ".join(said)
