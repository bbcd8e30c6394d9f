"""`scheduler=kubernetes_job`: an Indexed Job and a headless Service for each instance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from compiler.render.artifacts import Artifact
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import indexed_job, rules
from compiler.schedulers.target import Target
from compiler.specs.fields import at_least


@dataclass(frozen=True)
class Options:
    """`queue` is a Kueue LocalQueue; `ttl_s` is how long a finished Job is kept."""

    namespace: Optional[str] = None
    queue: Optional[str] = None
    priority_class: Optional[str] = None
    service_account: Optional[str] = None
    image_pull_secrets: list[str] = field(default_factory=list)
    ttl_s: Optional[int] = at_least(0, None)


def artifacts(job: Job, options: Options) -> Iterator[Artifact]:
    """The manifests. Raises ConfigError for a value that Kubernetes cannot carry."""
    rules.refuse(job, options)
    yield from indexed_job.artifacts(job, options)


TARGET = Target("kubernetes_job", Options, artifacts, kubernetes=True)
