"""What Megatron refuses only in a forward pass or the first step, or takes back without stopping."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule, warned
from compiler.frameworks.deepep import deepep, domain
from compiler.frameworks.megatron.options import effective, number, source
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    """Rules whose breach wastes an allocation."""
    yield from _dispatcher(config)
    if not config.workload.train:
        return
    yield from _experts(config)
    yield from _sequence_parallel(config)
    yield from _interleaving(config)


@rule
def _experts(config: Config) -> Iterator[Check]:
    """ValueError of MoELayer.forward, in training only."""
    tp = config.degrees.tp
    if config.model.moe and tp > 1:
        yield check(
            "megatron-moe-sequence-parallel",
            holds=config.sequence_parallel,
            observed=f"tp={tp}, sequence_parallel={str(config.sequence_parallel).lower()}",
            limit="sequence_parallel=true",
            message=f"{source(config, 'moe_layer.py')} stops in its first forward pass: experts with tp={tp} train with sequence parallelism only",
            fix="write workload.sequence_parallel=true",
        )


@rule
def _dispatcher(config: Config) -> Iterator[Check]:
    """The flex dispatcher's kernels, over the ranks of tp_ep: what they are compiled for shows when tokens are sent."""
    user, ranks = effective(config), config.degrees.etp * config.degrees.ep
    if not config.model.moe or user.get("--moe-token-dispatcher-type", ())[-1:] != ("flex",):
        return
    backend = user.get("--moe-flex-dispatcher-backend", ("deepep",))[-1]
    rules = {"deepep": deepep, "hybridep": domain}.get(backend)
    if rules is not None:
        yield from rules(config, backend, ranks, source(config, "moe/token_dispatcher.py"))


@rule
def _sequence_parallel(config: Config) -> Iterator[Check]:
    tp, cp = config.degrees.tp, config.degrees.cp
    if not config.sequence_parallel:
        return
    if tp == 1:
        yield warned(
            "megatron-sequence-parallel",
            observed="tp=1",
            limit="tp above 1",
            message=f"{source(config, 'arguments.py')} turns sequence parallelism off at tp=1, so we leave --sequence-parallel out",
            fix="write workload.sequence_parallel=false",
        )
        return
    length = config.workload.longest
    yield check(
        "megatron-sequence-length",
        holds=length % (cp * tp) == 0,
        observed=f"{length} % {cp * tp} = {length % (cp * tp)}",
        limit="0",
        message=f"sequences of {length} tokens over cp={cp} and then tp={tp} are {length / (cp * tp):g} tokens each; {source(config, 'tensor_parallel/mappings.py')} scatters whole ones, in the first forward pass",
        fix=f"write workload.sequence_length={-(-length // (cp * tp)) * cp * tp}"
        + ", or workload.sequence_parallel=false" * (not config.model.moe),
    )


GROUP = "--microbatch-group-size-per-virtual-pipeline-stage"


def group_size(config: Config) -> int:
    """Micro-batches that go through a chunk before the next one has them."""
    return number(config, GROUP, config.degrees.pp)


@rule
def _interleaving(config: Config) -> Iterator[Check]:
    """Micro-batches go through each chunk in groups of a size between pp and all of them."""
    degrees, workload = config.degrees, config.workload
    if degrees.vpp == 1 or degrees.pp == 1:
        return
    group = group_size(config)
    count = workload.global_batch_size // (degrees.adp * workload.micro_batch_size)
    rest = count % group
    yield check(
        "megatron-interleaving",
        holds=degrees.pp <= group <= count and (rest == 0 or rest >= degrees.pp),
        observed=f"groups of {group}, {rest} over",
        limit=f"{degrees.pp} to {count}, none or {degrees.pp} and more over",
        message=f"{count} micro-batches in groups of {group} leave {rest}; {source(config, 'pipeline_parallel/schedules.py')} wants groups of pp={degrees.pp} to {count}, and none or at least {degrees.pp} over, in the first step",
        fix=f"write workload.global_batch_size={-(-max(count, degrees.pp) // degrees.pp) * degrees.pp * degrees.adp * workload.micro_batch_size} and leave the group size out",
    )
