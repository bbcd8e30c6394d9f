"""The work of a record's plan, and what selects its constants: all that a fit needs of it."""

from __future__ import annotations

import numpy as np

from benchmarks.rows.record import Record
from compiler import gpus
from compiler.costs.calibration import GpuCalibration, KernelCurve
from compiler.costs.engine import Demand, demand, prompts
from compiler.costs.pooled import of_pools
from compiler.costs.shape import shape
from compiler.costs.step import Work, work
from compiler.costs.work.forward import drafting, one_token
from compiler.costs.work.parts import parts
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


PERFECT = GpuCalibration(gemm={"bf16": KernelCurve(1.0, 1.0, 0.0, sharpness=50.0)})
"""Curves of a GPU at its peaks."""


def least_seconds(record: Record) -> float:
    """Of a token of a record's clients, if all of them run: its products' and its caches' at the GPU's peaks."""
    plan = shape(known(record))
    context = plan.case.workload.longest + plan.case.workload.output_length / 2
    found = parts(plan, one_token(plan.case, context), PERFECT)
    return drafting(plan.case) * float(np.max(np.sum(found.products + found.grouped + found.core, axis=-1)))


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
    return demand(shape(world), gpu)
