"""Prefill and decode as one heterogeneous job: a component for each pool, in the order in which Slurm numbers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compiler.render.engine import render
from compiler.schedulers.job import Job, PooledJob
from compiler.schedulers.slurm import request
from compiler.schedulers.slurm.request import PORTS, Request


@dataclass(frozen=True)
class Component:
    """A pool's part of the job. `first_instance` is the number of its instance 0 among those of all pools."""

    role: str
    job: Job
    request: Request
    first_instance: int


def script(jobs: PooledJob, options: Any) -> str:
    """The batch script of both pools."""
    pools, instances = [], 0
    for role, job in jobs.pools:
        pools.append(Component(role, job, request.of(job, options, jobs), instances))
        instances += job.instances
    return render(
        "slurm/pools.sbatch.j2",
        jobs=jobs,
        pools=pools,
        roles=" ".join(pool.role for pool in pools),
        files=[(digest, f"{pool.role}/{path}") for pool in pools for digest, path in pool.request.files],
        instances=instances,
        ports=PORTS - instances,
    )
