"""`scheduler=slurm`: one batch script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from compiler.frozen import dataclass
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
    """Written as directives of the same names."""

    partition: Optional[str] = None
    """`--partition`; left to the site where it is null."""
    account: Optional[str] = None
    """`--account`; left to the site where it is null."""
    qos: Optional[str] = None
    """`--qos`; left to the site where it is null."""
    reservation: Optional[str] = None
    """`--reservation`; left to the site where it is null."""
    constraint: Optional[str] = None
    """`--constraint`; left to the site where it is null."""
    exclude: Optional[str] = None
    """`--exclude`; left to the site where it is null."""
    comment: Optional[str] = None
    """`--comment`; left to the site where it is null."""
    dependency: Optional[str] = None
    """`--dependency`; left to the site where it is null."""
    array: Optional[str] = None
    """`--array`: each task is a job of the whole plan."""
    segment: Optional[int] = between(1, NODES, None)
    """`--segment`, in nodes, for sites that place jobs by blocks."""


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
