"""Prefill and decode as one job: a heterogeneous one, a component for each pool in the order in which Slurm numbers them; or,
where they share nodes, a plain one, whose nodes both bind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from compiler.frozen import dataclass
from compiler.render.engine import render
from compiler.schedulers.job import Job, Jobs
from compiler.schedulers.slurm import request
from compiler.schedulers.slurm.request import PORTS, Request


@dataclass(frozen=True)
class Component:
    """A pool's part of the job. `first_instance` is the number of its instance 0 among those of all pools; `variables` ends the
    names of Slurm's that are about its nodes, `option` is srun's for it.
    """

    role: str
    job: Job
    request: Request
    first_instance: int
    variables: str
    option: str


def script(jobs: Jobs, options: Any) -> str:
    """The batch script of both pools."""
    pools, instances = [], 0
    for number, (role, job) in enumerate(jobs.parts):
        names = ("", "") if jobs.together else (f"_HET_GROUP_{number}", f"--het-group={number}")
        pools.append(Component(role, job, request.of(job, options, jobs), instances, *names))
        instances += job.instances
    return render(
        "slurm/pools.sbatch.j2",
        jobs=jobs,
        components=[_both(pools)] if jobs.together else [pool.request for pool in pools],
        pools=pools,
        roles=" ".join(pool.role for pool in pools),
        files=[(digest, f"{pool.role}/{path}") for pool in pools for digest, path in pool.request.files],
        instances=instances,
        ports=PORTS - instances,
    )


def _both(pools: Sequence[Component]) -> Request:
    """The one request of pools that share nodes: as many tasks on each as the larger asks for."""
    name = "ntasks-per-node"
    tasks = max(int(value) for pool in pools for key, value in pool.request.directives if key == name)
    rows = {**dict(pools[0].request.directives), name: str(tasks)}
    return replace(pools[0].request, directives=tuple(rows.items()))
