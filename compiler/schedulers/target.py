"""What a target is: its name, its own options and the files it writes for a launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from compiler.checks import Check
from compiler.frozen import dataclass
from compiler.render.artifacts import Artifact
from compiler.schedulers.job import Job, Jobs


@dataclass(frozen=True)
class Target:
    """A place that runs a plan. `options` is a frozen dataclass, the config group `scheduler.<name>`.

    `artifacts` takes the jobs that start together and an instance of `options`, and so does `checks`, whose failures stop the
    compile. `asked` is a command by which a person asks a server that runs, `routed` one that starts the router of pools; None
    where nothing serves.
    At most one target of a plan is `kubernetes`; one that is not for `pools` starts plans of one part alone.
    """

    name: str
    options: type[Any]
    artifacts: Callable[[Jobs, Any], Iterator[Artifact]]
    kubernetes: bool = False
    checks: Callable[[Jobs, Any], Iterator[Check]] = lambda _jobs, _options: iter(())
    asked: Callable[[Job, Any], str | None] = lambda _job, _options: None
    routed: Callable[[Jobs, Any], str | None] = lambda _jobs, _options: None
    pools: bool = True
