"""What a Kubernetes controller is to a plan, and how it becomes a target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from compiler.checks import Check
from compiler.errors import Problem
from compiler.render.artifacts import Artifact
from compiler.render.yaml import emit
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import checks, plan_files, rules, serving
from compiler.schedulers.kubernetes.objects import Node, by_host
from compiler.schedulers.kubernetes.plan_files import SERVER_SIDE
from compiler.schedulers.kubernetes.webhooks import refused
from compiler.schedulers.target import Target

Verdict = Callable[[Job, Any], Problem | None]
"""None where the controller keeps a promise; else what is missing, and what would mend it."""


def manifest(name: str, found: list[Node]) -> Artifact:
    """One file of the folder that kubectl takes."""
    return Artifact(f"kubernetes/{name}.yaml", f"# {SERVER_SIDE} -f on the folder takes all of it\n{emit(found)}")


@dataclass(frozen=True)
class Controller:
    """`objects` are all but the ConfigMaps, given the volume that holds those.

    `order` promises that a pod's index has a fixed place, `gang` that pods start, fail and start again together.
    `first` are the labels of rank 0's pods, `pods` those that all pods with ranks have and no other one of the plan.
    `by_host` says whether pods of a pinned plan take the slots of their nodes.
    `own` are checks of this controller alone; `mpi` says that ranks find each other by MPI.
    """

    name: str
    options: type[Any]
    objects: Callable[[Job, Any, Node], list[Node]]
    order: Verdict
    gang: Verdict
    first: serving.First
    pods: Node = field(default_factory=dict)
    by_host: Callable[[Job], bool] = by_host
    own: Callable[[Job, Any], Iterator[Check]] = lambda _job, _options: iter(())
    mpi: bool = False

    @property
    def file(self) -> str:
        """What its objects' file is called."""
        return self.name.removeprefix("kubernetes_")

    def documents(self, job: Job, options: Any) -> dict[str, list[Node]]:
        """File name -> objects, in the order in which kubectl takes the folder."""
        shipped = plan_files.ship(job, options)
        return {
            "configmap": list(shipped.maps),
            self.file: self.objects(job, options, shipped.volume),
            **self.served(job, options),
        }

    def served(self, job: Job, options: Any) -> dict[str, list[Node]]:
        """What clients need, in a file of its own."""
        first = (lambda *_: self.pods) if self.by_host(job) else self.first  # the one that is ready has rank 0
        found = serving.objects(job, options, first, self.pods, by_host=self.by_host(job))
        return {serving.HTTP: found} if found else {}

    def artifacts(self, job: Job, options: Any) -> Iterator[Artifact]:
        """The manifests. Raises ConfigError for a value that Kubernetes cannot carry."""
        rules.refuse(self.name, job, options)
        for name, found in self.documents(job, options).items():
            yield manifest(name, found)

    def checks(self, job: Job, options: Any) -> Iterator[Check]:
        """Promises that are not kept, as warnings, and what the controllers' webhooks would refuse, as failures."""
        rules.refuse(self.name, job, options)
        order = None if self.by_host(job) else self.order(job, options)
        yield from checks.promises(self.name, job, order, self.gang(job, options))
        yield from checks.hosts(self.name, job, self.by_host(job))
        yield from checks.of_job(self.name, job, options, mpi=self.mpi)
        yield from self.own(job, options)
        yield from refused([item for found in self.documents(job, options).values() for item in found])

    def target(self) -> Target:
        return Target(self.name, self.options, self.artifacts, kubernetes=True, checks=self.checks, asked=serving.asked)
