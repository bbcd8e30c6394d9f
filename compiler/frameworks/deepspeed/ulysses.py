"""Ulysses, DeepSpeed's sequence parallelism, as `parallel.cp`: runs of cp ranks hold a sequence, and swap it for heads in attention.

`UlyssesSPAttentionHF.register_with_transformers` makes the groups and hands them to initialize() as its mpu; ZeRO cuts over all
ranks (runtime/sequence_parallel/{ulysses_sp,parallel_state_sp}.py). It has neither tensor parallelism nor a pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.checks import Check, check
from compiler.frameworks.versions import version
from compiler.specs.config import Config

REGISTER = "UlyssesSPAttentionHF.register_with_transformers"


def asked(config: Config) -> bool:
    return config.degrees.cp > 1


def arguments(config: Config) -> dict[str, Any]:
    """What the plan decides of them; the user adds the model and its attention."""
    workload = config.workload
    return {
        "sequence_parallel_size": config.degrees.cp,
        "micro_batch_size": workload.micro_batch_size,
        "seq_length": workload.longest,
        "seq_length_is_variable": False,
    }


def declared(config: Config) -> Iterator[Check]:
    if not asked(config):
        return
    degrees, model, named = config.degrees, config.model, f"DeepSpeed {version(config).number}"
    cp = degrees.cp
    yield check(
        "deepspeed-cp",
        bool(version(config).facts["ulysses"]) and degrees.tp == degrees.pp == 1 and not model.moe,
        f"cp={cp}, tp={degrees.tp}, pp={degrees.pp}",
        "a dense model, tp=1, pp=1",
        f"{named} has sequence parallelism (Ulysses, from 0.17 on) for dense models without tp and pp; cp={cp}",
        f"write parallel.cp=1 and {cp} times the dp",
    )
    yield from _cut(config, named)
    yield check(
        "deepspeed-ulysses-program",
        False,
        REGISTER,
        "called by the program",
        f"{named} takes cp={cp} from the program: it calls {REGISTER} with framework/constructors.json, hands what that returns "
        "to initialize() as mpu, and loads data by UlyssesSPDataLoaderAdapter",
        "make sure that launch.command does, or write parallel.cp=1",
        otherwise="warn",
    )


def _cut(config: Config, named: str) -> Iterator[Check]:
    """Heads and sequences are dealt to the ranks in whole pieces."""
    model, cp, length, kv = config.model, config.degrees.cp, config.workload.longest, config.model.kv_heads
    yield check(
        "deepspeed-ulysses-heads",
        model.num_attention_heads % cp == 0 and (kv % cp == 0 or cp % kv == 0),
        f"{model.num_attention_heads} and {kv} over {cp}",
        "whole heads",
        f"{named} runtime/sequence_parallel/ulysses_sp.py deals {model.num_attention_heads} heads and {kv} of keys and values to "
        f"cp={cp} ranks",
        f"write a divisor of {kv} in parallel.cp",
    )
    yield check(
        "deepspeed-ulysses-sequence",
        length % cp == 0,
        f"{length} % {cp} = {length % cp}",
        "0",
        f"{named} runtime/sequence_parallel/ulysses_sp.py cuts sequences of {length} tokens into cp={cp} pieces",
        f"write workload.sequence_length={-(-length // cp) * cp}",
    )
