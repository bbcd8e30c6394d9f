"""What torchtitan refuses, late or never: the catalogue, in the order in which a run would meet it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks import versions
from compiler.frameworks.torchtitan import alignment, described, expert_rules, host, model_rules, pipeline_rules
from compiler.frameworks.torchtitan.arguments import REPLICATE, replicas
from compiler.specs.config import Config
from compiler.specs.degrees import DEFAULT_ORDER


@rule
def declared(config: Config) -> Iterator[Check]:
    yield from versions.checked(config)
    yield from training(config)
    yield from order(config)
    yield from copies(config)
    yield from expert_rules.declared(config)
    yield from sequence(config)
    yield from pipeline_rules.declared(config)
    yield from model_rules.declared(config)
    yield from alignment.declared(config)
    yield from described.declared(config)
    yield from sharding(config)
    yield from host.declared(config)
    yield from launcher(config)


@rule
def training(config: Config) -> Iterator[Check]:
    yield check(
        "torchtitan-training",
        holds=config.workload.train,
        observed=config.workload.kind,
        limit="train",
        message=f"torchtitan 0.3 trains; workload.kind is {config.workload.kind}",
        fix="write workload=train, or a framework that serves, such as vllm",
    )


@rule
def order(config: Config) -> Iterator[Check]:
    """build_mesh unflattens the world in one way only."""
    yield check(
        "torchtitan-order",
        holds=config.parallel.order == DEFAULT_ORDER,
        observed=config.parallel.order,
        limit=DEFAULT_ORDER,
        message=f"torchtitan 0.3 distributed/parallel_dims.py lays ranks out as {DEFAULT_ORDER} alone",
        fix=f"leave parallel.order={config.parallel.order} out",
    )


@rule
def copies(config: Config) -> Iterator[Check]:
    adp, count = config.degrees.adp, replicas(config)
    whole = count > 0 and adp % count == 0
    yield check(
        "torchtitan-replicate",
        holds=whole,
        observed=f"{adp} % {count}",
        limit="0",
        message=f"torchtitan 0.3 distributed/parallel_dims.py: adp={adp} is dp_replicate={count} times dp_shard"
        + ("" if whole else f"={adp / max(count, 1):g}, which is no whole number"),
        fix=f"add {REPLICATE}={math.gcd(adp, count) or 1} to framework.args, or leave {REPLICATE} out",
    )


@rule
def sequence(config: Config) -> Iterator[Check]:
    """Checked when the trainer starts, on every rank."""
    degrees, length = config.degrees, config.workload.longest
    step = (degrees.tp if config.sequence_parallel else 1) * (2 * degrees.cp if degrees.cp > 1 else 1)
    yield check(
        "torchtitan-sequence",
        holds=length % step == 0,
        observed=f"{length} % {step} = {length % step}",
        limit="0",
        message=f"torchtitan 0.3 trainer.py splits {length} tokens into {step} parts (tp with sequence parallelism, 2*cp with cp)",
        fix=f"write workload.sequence_length={-(-length // step) * step}",
    )


@rule
def sharding(config: Config) -> Iterator[Check]:
    """FSDP shards parameters too, so memory is below what the plan counts, and there is more to gather."""
    workload = config.workload
    ddp = workload.zero_stage == 0 and not workload.distributed_optimizer
    if replicas(config) == config.degrees.adp:
        return
    yield check(
        "torchtitan-zero",
        holds=workload.zero_stage >= 2 or ddp,
        observed=workload.zero_stage,
        limit="2 or 3",
        message=f"torchtitan 0.3 distributed/fsdp.py shards parameters, gradients and optimizer over dp_shard*cp; "
        f"the plan counts zero_stage={workload.zero_stage}",
        fix="write workload.zero_stage=3 (gathered again for the backward pass) or 2 (kept)",
        otherwise=Status.WARN,
    )


@rule
def launcher(config: Config) -> Iterator[Check]:
    """The plan sets RANK, and torchrun's rendezvous where it is the command; run_train.sh brings a rendezvous of its own."""
    command = config.launch.command or []
    if not command:
        return
    fixed = not any(word.rsplit("/", 1)[-1] == "run_train.sh" for word in command)
    yield check(
        "torchtitan-torchrun",
        holds=fixed,
        observed=" ".join(command[:2]),
        limit="RANK of the plan",
        message="run_train.sh starts torchrun with the c10d rendezvous, which numbers nodes in the order in which they join",
        fix="leave launch.command out, or write launch.command=[torchrun,-m,torchtitan.train]",
        otherwise=Status.WARN,
    )
