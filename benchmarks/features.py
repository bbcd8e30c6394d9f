"""The work of a record's plan, and what selects its constants: all that a fit needs of it."""

from __future__ import annotations

from benchmarks.rows.record import Record
from compiler import gpus
from compiler.costs.engine import Demand, demand, prompts
from compiler.costs.pooled import of_pools
from compiler.costs.shape import shape
from compiler.costs.step import Work, work
from compiler.speed import calibrated, selection
from compiler.world import World

TRAINING = ("dense_training", "dense_single_node", "moe_training")
SERVING = ("tpot", "ttft", "serving_throughput")


def known(record: Record) -> World:
    if record.world is None:
        raise ValueError(f"{record.id} is skipped")
    return record.world


def keys(record: Record) -> dict[str, str]:
    """What selects a record's constants: nothing of its model, its source or itself."""
    family, release = record.software
    level = "framework" if record.family in TRAINING else "backend"
    config = known(record).config
    return {
        level: family,
        "product": selection.product(f"{family}/{release}"),
        "release": f"{family}/{release}",
        "generation": gpus.generation(config.hardware.name),
        "gpu": config.hardware.name,
        "precision": config.workload.precision,
    }


def step_work(record: Record) -> Work:
    world = known(record)
    return work(shape(world), calibrated.curves(world.config.hardware))[0]


def served(record: Record) -> Demand:
    """The worker that decodes, and in a disaggregated deployment the pass of the one that fills."""
    world, ask = known(record), dict(record.ask or {})
    gpu = calibrated.served(world.config.hardware, record.software[0])
    if "prefill" in ask:
        filling = ask["prefill"]
        gpus = calibrated.served(filling.config.hardware, record.software[0]), gpu
        return of_pools(shape(filling), shape(world), ask["workers"], gpus)
    if ask.get("mode") == "decode":  # whose caches others fill
        return demand(shape(world), gpu, fill=prompts(shape(world), gpu, 1.0), fillers=1.0)
    return demand(shape(world), gpu, batch=float("inf") if ask.get("batch", 1) is None else None)
