"""What a target is: its name, its own options and the files it writes for a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from compiler.checks import Check
from compiler.render.artifacts import Artifact
from compiler.schedulers.job import Job, PooledJob


@dataclass(frozen=True)
class Target:
    """A place that runs a plan. `options` is a frozen dataclass, the config group `scheduler.<name>`.

    `artifacts` takes the job and an instance of `options`, and so does `checks`, whose failures stop the compile.
    `asked` is a command by which a person asks a server that runs, `routed` one that starts the router of pools; None where
    nothing serves.
    At most one target of a plan is `kubernetes`. `pooled` starts prefill and decode together, `pooled_checks` are those of
    both (default: `checks` of each); a target without `pooled` cannot.
    """

    name: str
    options: type[Any]
    artifacts: Callable[[Job, Any], Iterator[Artifact]]
    kubernetes: bool = False
    checks: Callable[[Job, Any], Iterator[Check]] = lambda _job, _options: iter(())
    asked: Callable[[Job, Any], str | None] = lambda _job, _options: None
    routed: Callable[[PooledJob, Any], str | None] = lambda _jobs, _options: None
    pooled: Callable[[PooledJob, Any], Iterator[Artifact]] | None = None
    pooled_checks: Callable[[PooledJob, Any], Iterator[Check]] | None = None

    def checks_of_pools(self, jobs: PooledJob, options: Any) -> Iterator[Check]:
        """What the target holds against pools, with the role in front where it is about one of them."""
        if self.pooled_checks is not None:
            yield from self.pooled_checks(jobs, options)
            return
        for role, job in jobs.pools:
            for found in self.checks(job, options):
                yield replace(found, id=f"{role}.{found.id}")
