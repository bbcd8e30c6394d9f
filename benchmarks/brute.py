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
from compiler.searches.leaders import configured, replayed
from compiler.searches.limits import kept
from compiler.searches.opened import opened
from compiler.searches.order import ordered
from compiler.searches.plans import Plans
from compiler.searches.space import Space

TRAINERS = ("megatron", "torchtitan", "deepspeed", "maxtext", "none")
SERVERS = ("vllm", "sglang", "tensorrt_llm", "none")
MODELS = ("mixtral_8x7b", "qwen3_30b_a3b", "llama3_1_8b", "deepseek_v3", "qwen3_32b", "gpt_oss_20b", "glm_4_5")
HARDWARE = ("h100_80gb", "h200", "b200", "gb200_nvl72")

BEHIND = 0.02
"""Of a step: so far apart neighbours that train may stand in another order, as few are replayed."""

SAME = 1e-8
"""Of one plan costed alone and among others: what sums in another order differ by."""


TRIED = {
    "parallel.vpp": (1, 2),
    "workload.schedule": ("1f1b", "zero_bubble", "dualpipe"),
    "workload.micro_batch_size": (1, 2, 4),
    "workload.recompute": ("none", "selective", "full"),
}
"""What a small search of training tries one or two of."""


def case(seed: int) -> list[str]:
    """Overrides of a small search, of up to 512 GPUs."""
    draw = random.Random(seed)  # noqa: S311 - cases are drawn, no secret
    train = draw.random() < 0.7
    found = [f"model={draw.choice(MODELS)}", f"hardware={draw.choice(HARDWARE)}", "parallel=auto", "~expect"]
    found += _training(draw) if train else _serving(draw)
    if draw.random() < 0.8:
        found.append("scheduler=[]")  # a job file takes as long as all else of a plan
    for degree, share in (("tp", 0.2), ("pp", 0.3 * train), ("cp", 0.4 * train)):
        if draw.random() < share:
            found.append(f"parallel.{degree}={draw.choice([1, 2, 4, 8])}")
    return found


def _training(draw: random.Random) -> list[str]:
    tried = {key: draw.sample(TRIED[key], 2) for key in draw.sample(sorted(TRIED), draw.choice([1, 2]))}
    found = [
        "workload=train",
        f"framework={draw.choice(TRAINERS)}",
        f"hardware.nodes={draw.choice([1, 2, 3, 4, 8, 16, 32, 64])}",
        f"workload.global_batch_size={draw.choice([48, 128, 256, 1024])}",
        f"workload.precision={draw.choice(['bf16', 'fp8'])}",
        f"search.vary={tried}".replace("'", "").replace(" ", ""),
    ]
    if draw.random() < 0.3:
        found.append(f"workload.zero_stage={draw.choice([1, 2, 3])}")
    if draw.random() < 0.3:
        found.append(f"workload.sequence_length={draw.choice([2048, 8192, 6000])}")
    return found


def _serving(draw: random.Random) -> list[str]:
    clients = draw.choice(["1,7,64,512", "8,256"])
    return [
        f"framework={draw.choice(SERVERS)}",
        f"hardware.nodes={draw.choice([1, 2, 4, 16, 64])}",
        f"workload.sequence_lengths=[{draw.choice([512, 4096])}]",
        f"workload.output_length={draw.choice([128, 1024])}",
        f"search.vary={{workload.global_batch_size:[{clients}]}}",
    ]


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
    slack = BEHIND if train else SAME
    wrong = sum(later < first - slack * abs(first) for first, later in itertools.pairwise(scores))
    if wrong:
        yield f"{wrong} of {len(scores)} neighbours in another order"


def run(count: int, first: int, most: int) -> Iterator[str]:
    """A line a case of 1 to `most` plans, and how many differ."""
    done: list[Judged] = []
    seed = first
    while len(done) < count:
        overrides, seed = case(seed), seed + 1
        of = space(overrides)
        plans = whole(of)
        if not 0 < len(plans) <= most:
            continue
        found = judged(of, plans)
        done.append(found)
        said = "; ".join(found.differences) or "the same"
        yield f"{seed - 1}: {found.plans:,} plans, {found.feasible:,} feasible, {said}: {' '.join(overrides)}"
    yield (
        f"{count} random searches, {sum(item.plans for item in done):,} plans compiled one by one, "
        f"{sum(item.feasible for item in done):,} feasible: {sum(bool(item.differences) for item in done)} differ"
    )
