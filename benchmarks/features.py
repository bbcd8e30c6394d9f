"""The work of a record's plan, and what selects its constants: all that a fit needs of it."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.rows.record import Record
from compiler import calibrated, gpus
from compiler.costs.calibration import GpuCalibration
from compiler.costs.engine import CHUNK, Demand, demand
from compiler.costs.pooled import of_pools
from compiler.costs.servers import SERVERS, WHOLE
from compiler.costs.step import Work, work
from compiler.costs.total import bits
from compiler.world import World

TRAINING = ("dense_training", "dense_single_node", "moe_training")
SERVING = ("tpot", "ttft", "serving_throughput")


def curves(world: World) -> GpuCalibration:
    found = calibrated.gpu(world.config.hardware.calibration or "")
    if found is None:
        raise ValueError(f"{world.config.hardware.name} has no curves")
    return gpus.on(world.config.hardware.name, found)


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
        "product": calibrated.product(f"{family}/{release}"),
        "release": f"{family}/{release}",
        "generation": gpus.generation(config.hardware.name),
        "gpu": config.hardware.name,
        "precision": config.workload.precision,
    }


def step_work(record: Record) -> Work:
    world = known(record)
    this, held, reaches = bits(world)
    return work(replace(this, **(record.ask or {})), held, reaches, curves(world))[0]


def server(backend: str) -> str:
    """The framework that rows call so."""
    return next((name for name, other in calibrated.BACKENDS.items() if other == backend), backend)


def served(record: Record) -> Demand:
    """The worker that decodes, and in a disaggregated deployment the pass of the one that fills."""
    world, ask = known(record), dict(record.ask or {})
    this, held, reaches = bits(world)
    name = server(record.software[0])
    this = replace(this, framework=name, room=SERVERS.get(name, WHOLE))
    batch = float("inf") if ask.get("batch", 1) is None else None
    if "prefill" not in ask:
        steps = {"interval": ask.get("interval", 1), "chunk": ask.get("chunk", CHUNK)}
        return demand(this, held, reaches, curves(world), batch=batch, **steps)
    filling = ask["prefill"]
    gpus = curves(filling), curves(world)
    return of_pools(bits(filling), (this, held, reaches), ask["workers"], gpus, ask.get("chunk", CHUNK))
