"""Pipelines: schedules, micro-batches, and models that cannot be cut."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule
from compiler.frameworks.torchtitan.stages import SCHEDULES, said, schedule
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    """Raises ConfigError where `framework.args` name modules of stages in another way than the plan has them."""
    said(config)
    if config.degrees.pp == 1:
        return
    yield from schedules(config)
    yield from micro_batches(config)
    yield from tied(config)


@rule
def schedules(config: Config) -> Iterator[Check]:
    chosen, vpp = config.workload.schedule, config.parallel.vpp
    yield check(
        "torchtitan-schedule",
        holds=chosen in SCHEDULES and (chosen != "zero_bubble" or vpp > 1),
        observed=f"{chosen}, vpp={vpp}",
        limit="1f1b, or a loop of vpp chunks",
        message=f"torchtitan 0.3 distributed/pipeline_parallel.py runs workload.schedule={chosen} as {schedule(config)}, with vpp={vpp}",
        fix="write workload.schedule=1f1b"
        if chosen in SCHEDULES
        else "write workload.schedule=zero_bubble and parallel.vpp=2: its chunks go there and back, which a plan cannot say",
    )


@rule
def micro_batches(config: Config) -> Iterator[Check]:
    """torch refuses to build the schedule, after the model was built."""
    workload, degrees = config.workload, config.degrees
    count = workload.global_batch_size // (degrees.adp * workload.micro_batch_size)
    rounds = max(1, count // degrees.pp)
    looped = config.parallel.vpp > 1
    yield check(
        "torchtitan-micro-batches",
        holds=count % rounds == 0 if looped else count >= degrees.pp,
        observed=count,
        limit=f"a multiple of {rounds}" if looped else f"{degrees.pp} or more",
        message=f"torch.distributed.pipelining {schedule(config)}: {count} micro-batches "
        + (f"in {rounds} rounds of pp={degrees.pp}" if looped else f"on pp={degrees.pp} stages"),
        fix=f"write workload.global_batch_size={degrees.pp * max(rounds, 1) * degrees.adp * workload.micro_batch_size}",
    )


@rule
def tied(config: Config) -> Iterator[Check]:
    yield check(
        "torchtitan-weight-tying",
        holds=not config.model.tie_word_embeddings,
        observed=f"tied, pp={config.degrees.pp}",
        limit="untied or pp=1",
        message="torchtitan 0.3 models/common/decoder.py: "
        + ("embedding and head share weights" if config.model.tie_word_embeddings else "embedding and head are apart")
        + f" with pp={config.degrees.pp}",
        fix="write parallel.pp=1, or model.tie_word_embeddings=false",
    )
