"""`scheduler=local`: every rank as a CPU process on this machine, a smoke test of the plan and its command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from compiler.frozen import dataclass
from compiler.render.artifacts import Artifact
from compiler.render.engine import render
from compiler.schedulers.job import Job, Jobs
from compiler.schedulers.runtime_files import digest, launch_json
from compiler.schedulers.target import Target
from compiler.specs.fields import between


@dataclass(frozen=True)
class Options:
    """Of processes on this machine."""

    master_port: Optional[int] = between(1, 65535, None)
    """The first instance's, the next instance has the next one; free ports where it is null."""


def artifacts(jobs: Jobs, options: Options) -> Iterator[Artifact]:
    """The script that starts all ranks; parts side by side, each with ports of its own."""
    if jobs.alone is not None:
        text = render("local/run.sh.j2", job=jobs.alone, options=options, digest=digest(launch_json(jobs.alone)))
    else:
        text = render("local/pools.sh.j2", jobs=jobs, pools=list(_pools(jobs, options.master_port)))
    yield Artifact("local/run.sh", text, executable=True)


def _pools(jobs: Jobs, port: int | None) -> Iterator[tuple[str, Job, int | None, str]]:
    """Part, job, first port and digest of its launch."""
    for part, job in jobs.parts:
        yield part, job, port, digest(launch_json(job))
        port = None if port is None else port + job.instances


TARGET = Target("local", Options, artifacts)
