"""Random searches held against a loop that compiles every plan of theirs, one by one."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.config.load import load_config
from compiler.errors import CompilerError
from compiler.passes import compile_config
from compiler.searches.feasible import feasible
from compiler.searches.leaders import CLOSED, configured, replayed
from compiler.searches.limits import kept
from compiler.searches.opened import opened
from compiler.searches.order import ordered
from compiler.searches.plans import Plans
from compiler.searches.space import Space

TRAINERS = ("megatron", "torchtitan", "deepspeed", "maxtext", "none")
SERVERS = ("vllm", "sglang", "tensorrt_llm", "none")
MODELS = ("mixtral_8x7b", "qwen3_30b_a3b", "llama3_1_8b", "deepseek_v3", "qwen3_32b", "gpt_oss_20b", "glm_4_5")
HARDWARE = ("h100_80gb", "h200", "b200", "gb200_nvl72")

SAME = 1e-8
"""Of one plan costed alone and among others: what sums in another order differ by."""


def case(seed: int) -> list[str]:
    """Overrides of a small search."""
    draw = random.Random(seed)  # noqa: S311 - cases are drawn, no secret
    train = draw.random() < 0.6
    found = [f"model={draw.choice(MODELS)}", f"hardware={draw.choice(HARDWARE)}", "parallel=auto", "~expect"]
    if train:
        found += [
            "workload=train",
            f"framework={draw.choice(TRAINERS)}",
            f"hardware.nodes={draw.choice([1, 2, 3, 4, 8])}",
            f"workload.global_batch_size={draw.choice([32, 48, 128, 256])}",
            f"workload.precision={draw.choice(['bf16', 'fp8'])}",
        ]
        if draw.random() < 0.3:
            found.append(f"workload.zero_stage={draw.choice([1, 2, 3])}")
        if draw.random() < 0.3:
            found.append(f"workload.sequence_length={draw.choice([2048, 8192, 6000])}")
    else:
        found += [
            f"framework={draw.choice(SERVERS)}",
            f"hardware.nodes={draw.choice([1, 2])}",
            f"workload.sequence_lengths=[{draw.choice([512, 4096])}]",
            f"workload.output_length={draw.choice([128, 1024])}",
            "search.vary={workload.global_batch_size:[1,7,64,512]}",
        ]
    if draw.random() < 0.2:
        found.append(f"parallel.tp={draw.choice([1, 2, 4, 8])}")
    return found


def space(overrides: Sequence[str]) -> Space:
    return opened(load_config(overrides), overrides)


def whole(of: Space) -> Plans:
    """Every plan of a space, whatever rules say."""
    plans = of.staged(of.grids())
    for key, values in of.varied():
        plans = plans.times(key, values)
    return plans


def keys(plans: Plans) -> Iterator[tuple[int, ...]]:
    names = sorted(plans.chosen)
    return (tuple(row) for row in np.stack([plans.chosen[name] for name in names], axis=1).tolist())


def loop(of: Space, plans: Plans) -> dict[tuple[int, ...], float]:
    """Every plan compiled by itself: of those that fit, the step's seconds, or requests/s less than nothing."""
    found = {}
    for at, key in enumerate(keys(plans)):
        try:
            plan = compile_config(configured(of, plans, at))
        except CompilerError:
            continue
        memory, projection = plan.contents["memory"], plan.contents["projection"]
        if memory["total_bytes"] <= memory["capacity_bytes"]:
            if "train" in projection:
                found[key] = projection["train"]["step_time_s"]
            else:
                rate = projection["serve"]["aggregated"][-1]["requests_per_s"]
                found[key] = -rate * plan.config.framework.instances
    return found


@dataclass(frozen=True)
class Judged:
    """How many plans a space has, how many are feasible, and in what search and loop differ."""

    plans: int
    feasible: int
    differences: tuple[str, ...]


def judged(of: Space, plans: Plans) -> Judged:
    """The same plans are feasible, the same one is the best, and all are in the same order; a training step in closed form may differ a
    little behind the leaders, which are replayed.
    """
    alone = loop(of, plans)
    found = feasible(of)
    if not len(found.plans):
        return Judged(len(plans), len(alone), (f"the loop finds {len(alone)}, the search none",) if alone else ())
    found, figures = kept(of, found)
    order, _ = replayed(of, found.plans, ordered(of.config, found.plans, figures), figures)
    mine = list(keys(found.plans.take(order)))
    return Judged(len(plans), len(alone), tuple(_differences(alone, mine, of.config.workload.train)))


def _differences(alone: dict[tuple[int, ...], float], mine: list[tuple[int, ...]], train: bool) -> Iterator[str]:
    if set(alone) != set(mine):
        yield f"feasible in the loop alone {len(set(alone) - set(mine))}, in the search alone {len(set(mine) - set(alone))}"
        return
    scores = [alone[key] for key in mine]
    best = min(scores)
    if scores[0] > best + SAME * abs(best):
        yield f"the search's best {scores[0]:.9g}, the loop's {best:.9g}"
    slack = CLOSED if train else SAME
    wrong = sum(later < first - slack * abs(first) for first, later in itertools.pairwise(scores))
    if wrong:
        yield f"{wrong} of {len(scores)} neighbours in another order"


def run(count: int, first: int, most: int) -> Iterator[str]:
    """A line a case of at most `most` plans, and how many differ."""
    done, differ, compiled, seed = 0, 0, 0, first
    while done < count:
        overrides, seed = case(seed), seed + 1
        of = space(overrides)
        plans = whole(of)
        if len(plans) > most:
            continue
        found = judged(of, plans)
        done, differ, compiled = done + 1, differ + bool(found.differences), compiled + found.plans
        said = "; ".join(found.differences) or "the same"
        yield f"{seed - 1}: {found.plans:,} plans, {found.feasible:,} feasible, {said}: {' '.join(overrides)}"
    yield f"{count} random searches, {compiled:,} plans compiled one by one: {differ} differ"
