"""`scheduler=local`: every rank as a CPU process on this machine, a smoke test of the plan and its command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from compiler.render.artifacts import Artifact
from compiler.render.engine import render
from compiler.schedulers.job import Job, PooledJob
from compiler.schedulers.runtime_files import digest, launch_json
from compiler.schedulers.target import Target
from compiler.specs.fields import between


@dataclass(frozen=True)
class Options:
    """`master_port` is the first instance's, the next instance has the next one; None for free ports."""

    master_port: Optional[int] = between(1, 65535, None)


def artifacts(job: Job, options: Options) -> Iterator[Artifact]:
    """The script that starts all ranks."""
    text = render("local/run.sh.j2", job=job, options=options, digest=digest(launch_json(job)))
    yield Artifact("local/run.sh", text, executable=True)


def pooled(jobs: PooledJob, options: Options) -> Iterator[Artifact]:
    """The script that starts both pools, side by side."""
    port, pools = options.master_port, []
    for role, job in jobs.pools:
        pools.append((role, job, port, digest(launch_json(job))))
        port = None if port is None else port + job.instances
    yield Artifact("local/run.sh", render("local/pools.sh.j2", jobs=jobs, pools=pools), executable=True)


TARGET = Target("local", Options, artifacts, pooled=pooled)
