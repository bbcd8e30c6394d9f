"""Pools of prefill and decode, under a batch of clients that each ask again when they are answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from compiler.costs.calibration import Calibration, GpuCalibration
from compiler.costs.engine import CHUNK, Demand, demand, prompts
from compiler.costs.together import Aggregated, lengths, steady
from compiler.costs.total import Bits, bits
from compiler.world import World


def of_pools(
    fill: Bits,
    step: Bits,
    instances: tuple[int, int],
    gpus: tuple[GpuCalibration, GpuCalibration],
    chunk: int = CHUNK,
) -> Demand:
    """What is asked of an instance that decodes. As many clients as all of those have room for in their batch."""
    filling, stepping = fill[0], step[0]
    lanes = float(instances[0] * filling.adp)
    clients = stepping.workload.global_batch_size * instances[1]
    first = prompts(*fill, gpus[0], clients / lanes, chunk)
    each = lanes / float(instances[1] * stepping.adp)
    return demand(*step, gpus[1], fill=first, fillers=each)


def served(fill: World, step: World, measured: Calibration) -> Iterator[Aggregated]:
    """At each length of prompts, of all instances of both pools."""
    both, workload = (bits(fill), bits(step)), step.config.workload
    instances, chunk = (fill.instances, step.instances), fill.config.workload.prefill_chunk or CHUNK
    gpus = fill.size * fill.instances + step.size * step.instances
    clients, copies = workload.global_batch_size * step.instances, float(step.degrees.adp * step.instances)
    for length in lengths(workload):
        first, second = (
            (replace(this, workload=replace(this.workload, sequence_lengths=[length])), held, reaches)
            for this, held, reaches in both
        )
        load = of_pools(first, second, instances, (measured.gpu, measured.gpu), chunk)
        yield steady(load, measured.engine, clients, copies, gpus)
