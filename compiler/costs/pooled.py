"""Pools of prefill and decode, under a batch of clients that each ask again when they are answered."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.costs.calibration import Calibration, GpuCalibration
from compiler.costs.engine import Demand, demand, prompts
from compiler.costs.shape import Shape, shape
from compiler.costs.together import Aggregated, lengths, steady
from compiler.world import World


def of_pools(
    fill: Shape,
    step: Shape,
    instances: tuple[int, int],
    gpus: tuple[GpuCalibration, GpuCalibration],
) -> Demand:
    """What is asked of an instance that decodes. As many clients as all of those have room for in their batch."""
    lanes = float(instances[0] * fill.case.adp)
    clients = step.case.workload.global_batch_size * instances[1]
    first = prompts(fill, gpus[0], clients / lanes)
    return demand(step, gpus[1], fill=first, fillers=lanes / float(instances[1] * step.case.adp))


def served(fill: World, step: World, by: Calibration) -> Iterator[Aggregated]:
    """At each length of prompts, of all instances of both pools."""
    both, workload = (shape(fill), shape(step)), step.config.workload
    instances = fill.instances, step.instances
    gpus = fill.size * fill.instances + step.size * step.instances
    clients, copies = workload.global_batch_size * step.instances, float(step.degrees.adp * step.instances)
    for length in lengths(workload):
        first, second = (plan.at(sequence_lengths=[length]) for plan in both)
        load = of_pools(first, second, instances, (by.gpu, by.gpu))
        yield steady(load, by.engine, clients, copies, gpus)
