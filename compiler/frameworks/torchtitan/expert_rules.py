"""Experts: which axes they are dealt out and cut over, and what must divide for that."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule
from compiler.frameworks.torchtitan.arguments import REPLICATE, backend, replicas
from compiler.frameworks.torchtitan.layout import expert_shards, fits, sharded
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    if not config.model.moe:
        return
    yield from tensor_parallel(config)
    yield from expert_parallel(config)
    yield from even(config)
    yield from layout(config)
    yield from shards(config)
    yield from groups(config)


@rule
def tensor_parallel(config: Config) -> Iterator[Check]:
    """expert_tensor_parallel_degree is gone: an expert is whole on an ep rank, and cut like the rest without ep."""
    degrees = config.degrees
    wanted = 1 if degrees.ep > 1 else degrees.tp
    yield check(
        "torchtitan-etp",
        holds=degrees.etp == wanted,
        observed=degrees.etp,
        limit=wanted,
        message=f"torchtitan 0.3 models/common/moe_sharding.py: with ep={degrees.ep} and tp={degrees.tp} experts have etp={wanted}; "
        f"the plan says etp={degrees.etp}",
        fix=f"write parallel.etp={wanted}, which keeps all {degrees.world_size} ranks",
    )


@rule
def expert_parallel(config: Config) -> Iterator[Check]:
    """A DeviceMesh says "product of mesh_sizes" of it, on every rank at start-up."""
    degrees, shard = config.degrees, sharded(config)
    room = shard * degrees.cp * degrees.tp
    copies = replicas(config)
    shared = f" (adp={degrees.adp} in {copies} copies, {REPLICATE})" if copies > 1 else ""
    yield check(
        "torchtitan-expert-parallel",
        holds=room % degrees.ep == 0,
        observed=f"{room} % {degrees.ep} = {room % degrees.ep}",
        limit="0",
        message=f"torchtitan 0.3 distributed/parallel_dims.py: ep={degrees.ep} divides dp_shard*cp*tp = {shard}*{degrees.cp}*{degrees.tp} "
        f"= {room}{shared}; it crosses neither dp_replicate nor pp",
        fix=f"write a divisor of {room} in parallel.ep, or leave {REPLICATE} out",
    )


@rule
def even(config: Config) -> Iterator[Check]:
    """The dispatcher reshapes its counts to [ep, experts/ep] in the first forward pass."""
    experts, ep = config.model.num_experts, config.degrees.ep
    yield check(
        "torchtitan-experts",
        holds=experts % ep == 0,
        observed=f"{experts} % {ep} = {experts % ep}",
        limit="0",
        message=f"torchtitan 0.3 models/common/token_dispatcher.py: {experts} experts over ep={ep} ranks are {experts / ep:g} each",
        fix=f"write a divisor of {experts} in parallel.ep",
    )


@rule
def layout(config: Config) -> Iterator[Check]:
    """Experts are one dimension of a DTensor, Shard(0) on ep."""
    given = config.framework.expert_layout
    if given is not None:
        yield check(
            "torchtitan-expert-layout",
            holds=given == "contiguous",
            observed=given,
            limit="contiguous",
            message=f"torchtitan 0.3 models/common/moe_sharding.py gives each ep rank a run of experts; framework.expert_layout={given}",
            fix="leave framework.expert_layout out",
        )


@rule
def shards(config: Config) -> Iterator[Check]:
    """With more ranks than experts FSDP cuts the next dimension, and refuses what does not divide."""
    model, degrees = config.model, config.degrees
    ranks = expert_shards(config)
    cut = ranks * degrees.ep
    if degrees.ep == 1:  # it counts the ranks of the whole mesh that FSDP is given
        cut = ranks * replicas(config) * (1 if backend(config) == "partial_dtensor" else degrees.tp)
    if not fits(config) or cut <= model.num_experts:
        return
    inner = model.expert_size if degrees.ep > 1 else model.expert_size // degrees.tp
    yield check(
        "torchtitan-expert-sharding",
        holds=inner % ranks == 0 and model.hidden_size % ranks == 0,
        observed=f"{inner} and {model.hidden_size} % {ranks}",
        limit="0",
        message=f"torchtitan 0.3 distributed/fsdp.py cuts the {inner} x {model.hidden_size} of an expert over efsdp={ranks} ranks, "
        f"since {cut} ranks are more than {model.num_experts} experts",
        fix=f"write a larger parallel.ep, or more copies with {REPLICATE}",
    )


@rule
def groups(config: Config) -> Iterator[Check]:
    """Node-limited routing, met in the first forward pass."""
    model = config.model
    if model.n_group == 1:
        return
    yield check(
        "torchtitan-expert-groups",
        holds=model.num_experts % model.n_group == 0 and model.num_experts // model.n_group >= 2,
        observed=f"{model.num_experts} / {model.n_group}",
        limit="2 or more",
        message=f"torchtitan 0.3 models/common/moe.py: {model.num_experts} experts in {model.n_group} groups are "
        f"{model.num_experts / model.n_group:g} each",
        fix=f"write a divisor of {model.num_experts // 2} in model.n_group",
    )
