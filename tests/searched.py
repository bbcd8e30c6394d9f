"""Random searches, and what a loop over every plan of them comes to."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from compiler.checks import Status
from compiler.config.load import load_config
from compiler.errors import CompilerError
from compiler.frameworks.lay_out import lay_out
from compiler.invariants import declared, laid_out
from compiler.searches.feasible import rules
from compiler.searches.leaders import configured
from compiler.searches.opened import opened
from compiler.searches.plans import Plans
from compiler.searches.rules import Asked
from compiler.searches.space import Space
from compiler.specs.config import Config

TRAINERS = ("megatron", "torchtitan", "deepspeed", "maxtext", "none")
SERVERS = ("vllm", "sglang", "tensorrt_llm", "none")
MODELS = ("mixtral_8x7b", "qwen3_30b_a3b", "llama3_1_8b", "deepseek_v3", "qwen3_32b", "gpt_oss_20b", "glm_4_5")


def case(seed: int) -> list[str]:
    """Overrides of a small search."""
    draw = random.Random(seed)
    train = draw.random() < 0.6
    model = draw.choice(MODELS)
    found = [
        f"model={model}",
        f"hardware={draw.choice(['h100_80gb', 'h200', 'b200', 'gb200_nvl72'])}",
        "parallel=auto",
        "~expect",
    ]
    if train:
        found += [
            "workload=train",
            f"framework={draw.choice(TRAINERS)}",
            f"hardware.nodes={draw.choice([1, 2, 3, 4, 8])}",
        ]
        found += [
            f"workload.global_batch_size={draw.choice([32, 48, 128, 256])}",
            f"workload.precision={draw.choice(['bf16', 'fp8'])}",
        ]
        if draw.random() < 0.3:
            found.append(f"workload.zero_stage={draw.choice([1, 2, 3])}")
        if draw.random() < 0.3:
            found.append(f"workload.sequence_length={draw.choice([2048, 8192, 6000])}")
    else:
        found += [f"framework={draw.choice(SERVERS)}", f"hardware.nodes={draw.choice([1, 2])}"]
        found += [
            f"workload.sequence_lengths=[{draw.choice([512, 4096])}]",
            f"workload.output_length={draw.choice([128, 1024])}",
        ]
        found.append("search.vary={workload.global_batch_size:[1,7,64,512]}")
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


def passing(of: Space) -> set[tuple[int, ...]]:
    """The plans that rules let pass, asked in stages as a search does."""
    asked = Asked(of)
    plans, more = asked.passing(of.grids(), rules(of.config))
    plans, more = asked.passing(of.staged(plans), more)
    for key, values in of.varied():
        plans, more = asked.passing(plans.times(key, values), more)
    assert not more or not len(plans)
    return set(keys(plans))


def keys(plans: Plans) -> Iterator[tuple[int, ...]]:
    names = sorted(plans.chosen)
    return (tuple(row) for row in np.stack([plans.chosen[name] for name in names], axis=1).tolist())


def allowed(config: Config) -> bool:
    """What the rules of one plan say."""
    try:
        if any(check.status is Status.FAIL for check in declared(config)):
            return False
        return all(check.status is not Status.FAIL for check in laid_out(lay_out(config)))
    except CompilerError:
        return False


def held(overrides: Sequence[str], count: int, seed: int) -> tuple[int, list[str]]:
    """Random plans of a space, half of them let pass, on which the two differ; and how many were asked."""
    of = space(overrides)
    plans, draw = whole(of), random.Random(seed)
    good, names = passing(of), list(keys(plans))
    passed = [at for at, key in enumerate(names) if key in good]
    failed = [at for at, key in enumerate(names) if key not in good]
    chosen = draw.sample(passed, min(len(passed), count)) + draw.sample(failed, min(len(failed), count))
    differ = [
        f"{overrides} {names[at]} {names[at] in good}"
        for at in chosen
        if allowed(replace(configured(of, plans, at), name="plan")) != (names[at] in good)
    ]
    return len(chosen), differ
