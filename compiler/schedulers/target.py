"""What a target is: its name, its own options and the files it writes for a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from compiler.checks import Check
from compiler.render.artifacts import Artifact
from compiler.schedulers.job import Job


@dataclass(frozen=True)
class Target:
    """A place that runs a plan. `options` is a frozen dataclass, the config group `scheduler.<name>`.

    `artifacts` takes the job and an instance of `options`, and so does `checks`, whose failures stop the compile.
    At most one target of a plan is `kubernetes`.
    """

    name: str
    options: type[Any]
    artifacts: Callable[[Job, Any], Iterator[Artifact]]
    kubernetes: bool = False
    checks: Callable[[Job, Any], Iterator[Check]] = lambda _job, _options: iter(())
