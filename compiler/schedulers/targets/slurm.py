"""`scheduler=slurm`: one batch script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from compiler.render.artifacts import Artifact
from compiler.render.engine import render
from compiler.schedulers import reach, routes
from compiler.schedulers.job import Job, Jobs
from compiler.schedulers.slurm import pools, request, rules
from compiler.schedulers.slurm.checks import checks
from compiler.schedulers.target import Target
from compiler.specs.fields import between
from compiler.specs.limits import NODES


@dataclass(frozen=True)
class Options:
    """Written as directives of the same names; what is None is left to the site.

    `segment` is in nodes, for sites that place jobs by blocks. Each task of an `array` is a job of the whole plan.
    """

    partition: Optional[str] = None
    account: Optional[str] = None
    qos: Optional[str] = None
    reservation: Optional[str] = None
    constraint: Optional[str] = None
    exclude: Optional[str] = None
    comment: Optional[str] = None
    dependency: Optional[str] = None
    array: Optional[str] = None
    segment: Optional[int] = between(1, NODES, None)


def artifacts(jobs: Jobs, options: Options) -> Iterator[Artifact]:
    """The batch script. Raises ConfigError for a value that Slurm cannot carry."""
    for _, job in jobs.parts:
        rules.refuse(job, options)
    if jobs.alone is None:
        text = pools.script(jobs, options)
    else:
        text = render("slurm/job.sbatch.j2", job=jobs.alone, request=request.of(jobs.alone, options))
    yield Artifact("slurm/job.sbatch", text, executable=True)


def asked(job: Job, _: Options) -> str | None:
    return reach.on_slurm(job)


def routed(jobs: Jobs, _: Options) -> str | None:
    return routes.on_slurm(jobs)


TARGET = Target("slurm", Options, artifacts, checks=checks, asked=asked, routed=routed)
