"""Whether a search picks what was measured to be best, and where published recipes stand in its order.

    python -m benchmarks.search --rows FOLDER [--recipes FILE] [--only WORD] [--brute N [--first SEED] [--most PLANS]]

A cell is one job that was measured under several plans: at least 3 that train, or 4 sets of degrees that serve. The regret of a pick is its
measured time over the best measured one, minus 1. Rows are those that the constants were fitted to. `--brute` compiles every plan of
random searches one by one, and says in what a search differs from that.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import accuracy, brute, judgement
from benchmarks.judgement import Judged
from benchmarks.rows.record import Row, read
from compiler.api import search
from compiler.errors import CompilerError
from compiler.searches.find import Found

SINGLE = "dense_single_node"
LIMITS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Quantiles of a cell's measured TPOT that serve as limits."""

HARDWARE = {
    "B200": "b200",
    "B300": "b300",
    "GB200": "gb200_nvl72",
    "GB300": "gb300_nvl72",
    "H100": "h100_80gb",
    "H200": "h200",
}
MODELS = {
    "deepseek": "deepseek_v3",
    "qwen3_30b": "qwen3_30b_a3b",
    "qwen3_235b": "qwen3_235b_a22b",
    "405b": "llama3_1_405b",
    "70b": "llama3_1_70b",
    "8b": "llama3_1_8b",
    "gpt_oss": "gpt_oss_120b",
    "kimi": "kimi_k2",
}
"""What a recipe's model has in its name -> our file; others are passed over."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--rows", type=Path, help="a folder of measurements")
    parser.add_argument("--recipes", type=Path, help="a CSV of published recipes")
    parser.add_argument("--only", default="", help="recipes whose id has this in it")
    parser.add_argument("--brute", type=int, default=0, help="random searches to hold against a loop over every plan")
    parser.add_argument("--first", type=int, default=0, help="the first random search")
    parser.add_argument("--most", type=int, default=3000, help="plans of a random search at most")
    args = parser.parse_args(argv)
    if args.rows:
        judged = [item for item in judgement.judge(accuracy.load(args.rows)) if judgement.usable(item)]
        for line in (*training(judged), *serving(judged)):
            print(line)
    for line in brute.run(args.brute, args.first, args.most) if args.brute else ():
        print(line, flush=True)
    if args.recipes:
        recipes(args.recipes, args.only)
    return 0


def training(judged: Sequence[Judged]) -> Iterator[str]:
    """Regret over cells of training steps."""
    cells = defaultdict(list)
    for item in judged:
        if item.record.world is not None and item.record.world.config.workload.train and item.record.family != "memory":
            cells[_job(item)].append(item)
    several = {key: found for key, found in cells.items() if len({_plan(item) for item in found}) >= 3}
    for name, family, least in (
        ("single node", SINGLE, 3),
        ("single node, 8 plans and more", SINGLE, 8),
        ("other training", "", 3),
    ):
        chosen = [
            found
            for key, found in several.items()
            if (key[0] == SINGLE) == bool(family) and len({_plan(item) for item in found}) >= least
        ]
        if chosen:
            yield _regrets(name, chosen)


def _regrets(name: str, cells: Sequence[Sequence[Judged]]) -> str:
    regrets, first, three = [], 0, 0
    for found in cells:
        order = sorted(found, key=_predicted_s)
        times = [_measured_s(item) for item in order]
        regrets.append(times[0] / min(times) - 1)
        first += times[0] == min(times)
        three += min(times) in times[:3]
    blind = statistics.mean(
        statistics.mean(map(_measured_s, found)) / min(map(_measured_s, found)) - 1 for found in cells
    )
    return (
        f"{name}: {len(cells)} cells, regret mean {statistics.mean(regrets):.2%}, p90 {np.quantile(regrets, 0.9):.2%}, max {max(regrets):.2%}; "
        f"best is our first {first / len(cells):.2f}, in our first three {three / len(cells):.2f}; random {blind:.0%}"
    )


def _job(item: Judged) -> tuple[Any, ...]:
    record, config = item.record, item.record.world.config if item.record.world else None
    if config is None:
        raise ValueError("a record without a plan")
    work = config.workload
    shape = (work.global_batch_size, work.longest, work.precision, config.ranks)
    model = (record.model, config.model.num_hidden_layers, config.model.hidden_size)
    return (record.family, record.source, *model, record.gpu, record.software, record.metric, *shape)


def _plan(item: Judged) -> tuple[Any, ...]:
    if item.record.world is None:
        raise ValueError("a record without a plan")
    config = item.record.world.config
    work = config.workload
    return (config.degrees, work.micro_batch_size, work.recompute, work.zero_stage, work.schedule)


def _measured_s(item: Judged) -> float:
    return (
        1 / item.record.measured
        if "tokens" in item.record.metric or "flops" in item.record.metric
        else item.record.measured
    )


def _predicted_s(item: Judged) -> float:
    return 1 / item.predicted if "tokens" in item.record.metric or "flops" in item.record.metric else item.predicted


@dataclass(frozen=True)
class Point:
    """A server under one load: measured and projected seconds a token, and tokens/s/GPU."""

    degrees: str
    tpot_s: tuple[float, float]
    rate: tuple[float, float]


def serving(judged: Sequence[Judged]) -> Iterator[str]:
    """Under limits of TPOT: the right degrees, a pick that misses the limit, tokens lost."""
    times: dict[str, dict[str, Judged]] = defaultdict(dict)
    for item in judged:
        if item.record.family in ("tpot", "ttft"):
            times[item.record.id][item.record.family] = item
    cells: dict[tuple[Any, ...], list[Point]] = defaultdict(list)
    for both in times.values():
        if len(both) == 2 and (world := both["tpot"].record.world) is not None and world.config.workload.role is None:
            first, each, work = both["ttft"], both["tpot"], world.config.workload
            job = (each.record.source, each.record.model, each.record.gpu, each.record.software, work.precision)
            answered = work.global_batch_size * work.output_length / world.size
            measured = answered / (first.record.measured + each.record.measured * (work.output_length - 1))
            projected = answered / (first.predicted + each.predicted * (work.output_length - 1))
            cells[*job, work.longest, work.output_length].append(
                Point(world.config.degrees.name, (each.record.measured, each.predicted), (measured, projected))
            )
    several = [points for points in cells.values() if len({point.degrees for point in points}) >= 4]
    right, missed, lost, asked = 0, 0, list[float](), 0
    for points in several:
        for limit in np.quantile([point.tpot_s[0] for point in points], LIMITS):
            best = max((point for point in points if point.tpot_s[0] <= limit), key=lambda point: point.rate[0])
            ours = [point for point in points if point.tpot_s[1] <= limit]
            if ours:
                pick = max(ours, key=lambda point: point.rate[1])
                asked, right = asked + 1, right + (pick.degrees == best.degrees)
                if pick.tpot_s[0] > limit:
                    missed += 1
                else:
                    lost.append(1 - pick.rate[0] / best.rate[0])
    if asked:
        yield (
            f"serving under a TPOT limit: {len(several)} cells, {asked} picks; right degrees {right / asked:.2f}, "
            f"limit missed {missed / asked:.0%}, tokens/s/GPU lost by the others {statistics.mean(lost):.1%}"
        )


def recipes(path: Path, only: str) -> None:
    """The place of each recipe's degrees in the order of its own job."""
    places: list[float] = []
    for row in read(path):
        job = _overrides(row)
        if row["kind"] != "train" or job is None or only not in row["id"]:
            continue
        try:
            found = search(job)
        except CompilerError as error:
            print(f"{row['id']}: no plan: {str(error)[:160]}")
            continue
        at = _place(found, row)
        if at is None:
            print(f"{row['id']}: not feasible here; the best is {found.best.config.degrees.name}")
            places.append(1.0)
            continue
        part, rate = (at + 1) / len(found.plans), found.figures.tokens_per_s[at] / found.figures.tokens_per_s[0]
        places.append(part)
        print(
            f"{row['id']}: place {at + 1:,} of {len(found.plans):,} ({part:.1%}), {rate:.1%} of the best, {' '.join(found.contents['best']['overrides'])}"
        )
    if places:
        print(
            f"{len(places)} recipes: {sum(part < 1 for part in places) / len(places):.0%} feasible, "
            f"{sum(part <= 0.1 for part in places) / len(places):.0%} in the best tenth, {sum(part <= 0.2 for part in places) / len(places):.0%} in the best fifth"
        )


def _overrides(row: Row) -> list[str] | None:
    """A recipe's job, its degrees left open; None for a model or a GPU that no file of ours has."""
    name = row["model"].lower().replace(" ", "_").replace("-", "_")
    model = next(
        (file for word, file in MODELS.items() if word in name and "flash" not in name and "lora" not in name), None
    )
    hardware = HARDWARE.get(row["gpu"].split(" ")[0])
    if model is None or hardware is None or not row["gbs"] or not row["seq_or_isl_osl"].isdigit():
        return None
    text = row["precision"].lower()
    precision = "nvfp4" if "fp4" in text else "mxfp8" if "mx" in text else "fp8" if "fp8" in text else "bf16"
    node = 4 if hardware.startswith("gb") else 8
    return [
        *(f"model={model}", f"hardware={hardware}", "workload=train", "framework=megatron", "~expect"),
        *(f"hardware.nodes={-(-int(row['gpus']) // node)}", f"workload.global_batch_size={row['gbs']}"),
        *(f"workload.sequence_length={row['seq_or_isl_osl']}", f"workload.precision={precision}"),
        "workload.states.gradients=bf16",  # as NeMo's performance scripts add them up
    ]


def _place(found: Found, row: Row) -> int | None:
    """Of the first plan with a recipe's degrees."""
    chosen = found.plans.chosen
    good = np.ones(len(found.plans), dtype=bool)
    for key in ("tp", "pp", "vpp", "cp", "ep", "etp"):
        good &= chosen[key] == int(row[key] or 1)
    if row["mbs"] and (sizes := found.plans.values.get("workload.micro_batch_size")):
        good &= np.array(sizes)[chosen["workload.micro_batch_size"]] == int(row["mbs"])
    return int(np.argmax(good)) if good.any() else None


if __name__ == "__main__":
    sys.exit(main())
