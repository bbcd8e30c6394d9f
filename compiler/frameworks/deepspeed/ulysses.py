"""Ulysses, DeepSpeed's sequence parallelism, as `parallel.cp`: runs of cp ranks hold a sequence, and swap it for heads in attention.

`UlyssesSPAttentionHF.register_with_transformers` makes the groups and hands them to initialize() as its mpu; ZeRO cuts over all
ranks (runtime/sequence_parallel/{ulysses_sp,parallel_state_sp}.py). It has neither tensor parallelism nor a pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.checks import Check, check, rule, warned
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


@rule
def declared(config: Config) -> Iterator[Check]:
    if not asked(config):
        return
    degrees, model, named = config.degrees, config.model, f"DeepSpeed {version(config).number}"
    cp = degrees.cp
    yield check(
        "deepspeed-cp",
        holds=bool(version(config).facts["ulysses"]) and degrees.tp == degrees.pp == 1 and not model.moe,
        observed=f"cp={cp}, tp={degrees.tp}, pp={degrees.pp}",
        limit="a dense model, tp=1, pp=1",
        message=f"{named} has sequence parallelism (Ulysses, from 0.17 on) for dense models without tp and pp; cp={cp}",
        fix=f"write parallel.cp=1 and {cp} times the dp",
    )
    yield from _cut(config, named)
    yield warned(
        "deepspeed-ulysses-program",
        observed=REGISTER,
        limit="called by the program",
        message=f"{named} takes cp={cp} from the program: it calls {REGISTER} with framework/constructors.json, hands what that returns "
        "to initialize() as mpu, and loads data by UlyssesSPDataLoaderAdapter",
        fix="make sure that launch.command does, or write parallel.cp=1",
    )


@rule
def _cut(config: Config, named: str) -> Iterator[Check]:
    """Heads and sequences are dealt to the ranks in whole pieces."""
    model, cp, length, kv = config.model, config.degrees.cp, config.workload.longest, config.model.kv_heads
    yield check(
        "deepspeed-ulysses-heads",
        holds=model.num_attention_heads % cp == 0 and (kv % cp == 0 or cp % kv == 0),
        observed=f"{model.num_attention_heads} and {kv} over {cp}",
        limit="whole heads",
        message=f"{named} runtime/sequence_parallel/ulysses_sp.py deals {model.num_attention_heads} heads and {kv} of keys and values to "
        f"cp={cp} ranks",
        fix=f"write a divisor of {kv} in parallel.cp",
    )
    yield check(
        "deepspeed-ulysses-sequence",
        holds=length % cp == 0,
        observed=f"{length} % {cp} = {length % cp}",
        limit="0",
        message=f"{named} runtime/sequence_parallel/ulysses_sp.py cuts sequences of {length} tokens into cp={cp} pieces",
        fix=f"write workload.sequence_length={-(-length // cp) * cp}",
    )
