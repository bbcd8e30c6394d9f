"""Searches that tests make, and random plans of theirs held against the rules of one plan."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.brute import keys, space, whole
from compiler.checks import Status
from compiler.errors import CompilerError
from compiler.frameworks.lay_out import lay_out
from compiler.invariants import declared, laid_out
from compiler.searches.feasible import rules
from compiler.searches.leaders import configured
from compiler.searches.rules import Asked
from compiler.searches.space import Space
from compiler.specs.config import Config

TRAIN = ["workload=train", "framework=megatron", "model=mixtral_8x7b", "hardware=h100_80gb", "hardware.nodes=2"]
TRAIN += [
    "workload.global_batch_size=64",
    "search.vary={parallel.vpp:[1,2],workload.micro_batch_size:[1,2]}",
    "~expect",
]
SERVE = ["framework=vllm", "model=qwen3_32b", "hardware=h200", "hardware.nodes=1", "workload.sequence_lengths=[1024]"]
SERVE += ["workload.output_length=256", "search.vary={workload.global_batch_size:[1,16,128]}", "~expect"]


def passing(of: Space) -> set[tuple[int, ...]]:
    """The plans that rules let pass, asked in stages as a search does."""
    asked = Asked(of)
    plans, more = asked.passing(of.grids(), rules(of.config))
    plans, more = asked.passing(of.staged(plans), more)
    for key, values in of.varied():
        plans, more = asked.passing(plans.times(key, values), more)
    assert not more or not len(plans)
    return set(keys(plans))


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
