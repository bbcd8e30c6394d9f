"""What a Kubernetes controller is to a plan, and how it becomes a target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any

from compiler.checks import Check
from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.render.artifacts import Artifact
from compiler.render.yaml import emit
from compiler.schedulers import routes
from compiler.schedulers.job import Job, Jobs
from compiler.schedulers.kubernetes import checks, names, plan_files, rules, serving
from compiler.schedulers.kubernetes.container import ENDPOINTS, port
from compiler.schedulers.kubernetes.objects import Node, by_host
from compiler.schedulers.kubernetes.plan_files import SERVER_SIDE, File
from compiler.schedulers.kubernetes.webhooks import refused
from compiler.schedulers.target import Target

Verdict = Callable[[Job, Any], Problem | None]
"""None where the controller keeps a promise; else what is missing, and what would mend it."""
ROUTER = "-router"

Documents = dict[tuple[str, str], list[Node]]
"""(part, nothing where they are for all; file name) -> objects, in the order in which kubectl takes the folder."""


@dataclass(frozen=True)
class Together:
    """How a controller starts both pools by one object.

    `leaders` are address and port of rank 0 of a pool's instances; `objects` are all but the ConfigMaps, given the volumes of
    the parts; `order` and `own` are as the controller's, of one pool among the others.
    """

    leaders: Callable[[Jobs, Job, Any], list[tuple[str, int]]]
    objects: Callable[[Jobs, Any, Mapping[str, Node]], Documents]
    order: Callable[[Jobs, Job, Any], Problem | None]
    own: Callable[[Jobs, Job, Any], Iterator[Check]]


@dataclass(frozen=True)
class Controller:
    """`objects` are all but the ConfigMaps, given the volume that holds those; `leaders` addresses of rank 0 of a job's instances.

    `order` promises that a pod's index has a fixed place, `gang` that pods start, fail and start again together.
    `first` are the labels of rank 0's pods, `pods` those that all pods with ranks have and no other one of the plan.
    `by_host` says whether pods of a pinned plan take the slots of their nodes.
    `own` are checks of this controller alone; `mpi` says that ranks find each other by MPI.
    Without `pools` each pool is started by objects of its own, which then need `leaders`.
    """

    name: str
    options: type[Any]
    objects: Callable[[Job, Any, Node], list[Node]]
    order: Verdict
    gang: Verdict
    first: serving.First
    leaders: Callable[[Job, Any], list[str]] = lambda _job, _options: []
    pods: Node = field(default_factory=dict)
    by_host: Callable[[Job], bool] = by_host
    own: Callable[[Job, Any], Iterator[Check]] = lambda _job, _options: iter(())
    mpi: bool = False
    pools: Together | None = None

    def documents(self, jobs: Jobs, options: Any) -> Documents:
        """All objects. Parts are told where the others are."""
        known = [] if jobs.alone else [File(ENDPOINTS, self.endpoints(jobs, options))]
        shipped = {part: plan_files.ship(job, options, known) for part, job in jobs.parts}
        maps = {(part, "configmap"): list(found.maps) for part, found in shipped.items()}
        volumes = {part: found.volume for part, found in shipped.items()}
        served = {(part, serving.HTTP): self._served(job, options) for part, job in jobs.parts}
        return {
            **maps,
            **self._started(jobs).objects(jobs, options, volumes),
            **{key: found for key, found in served.items() if found},
        }

    def endpoints(self, jobs: Jobs, options: Any) -> str:
        """A line for each instance: part, instance, address and port of its rank 0, and where its server answers, if any."""
        return "".join(
            " ".join([part, str(instance), address, str(number), *serving.url(job, instance)]) + "\n"
            for part, job in jobs.parts
            for instance, (address, number) in enumerate(self._started(jobs).leaders(jobs, job, options))
        )

    def artifacts(self, jobs: Jobs, options: Any) -> Iterator[Artifact]:
        """The manifests. Raises ConfigError for a value that Kubernetes cannot carry."""
        self._refuse(jobs, options)
        for key, found in self.documents(jobs, options).items():
            text = f"# {SERVER_SIDE} -f on the folder takes all of it\n{emit(found)}"
            yield Artifact(f"kubernetes/{'-'.join(filter(None, key))}.yaml", text)

    def checks(self, jobs: Jobs, options: Any) -> Iterator[Check]:
        """Promises that are not kept, as warnings, and what the controllers' webhooks would refuse, as failures."""
        self._refuse(jobs, options)
        documents, started = self.documents(jobs, options), self._started(jobs)

        def of_part(job: Job) -> Iterator[Check]:
            kept = self.by_host(job)
            order = None if kept else started.order(jobs, job, options)
            yield from checks.promises(self.name, job, order, self.gang(job, options))
            yield from checks.hosts(self.name, job, kept)
            yield from checks.of_job(self.name, job, options, mpi=self.mpi)
            yield from started.own(jobs, job, options)
            part = next(name for name, own in jobs.parts if own is job)
            yield from refused([item for (name, _), found in documents.items() if name == part for item in found])

        yield from jobs.each(of_part)
        if jobs.alone is None:
            if shared := [item for (name, _), found in documents.items() if not name for item in found]:
                yield from refused(shared)
            yield from checks.ports(jobs)

    def routed(self, jobs: Jobs, options: Any) -> str | None:
        """A pod beside the servers, which each have a Service."""
        if jobs.alone is not None:
            return None
        urls = {
            part: [url for instance in range(job.instances) for url in serving.url(job, instance)]
            for part, job in jobs.parts
        }
        name = names.within(names.dns(jobs.name), names.LABEL - len(ROUTER)) + ROUTER
        return routes.on_kubernetes(jobs, urls, name, options.namespace)

    def target(self) -> Target:
        return Target(
            self.name,
            self.options,
            self.artifacts,
            kubernetes=True,
            checks=self.checks,
            asked=serving.asked,
            routed=self.routed,
        )

    def _started(self, jobs: Jobs) -> Together:
        return self._apart() if jobs.alone or self.pools is None else self.pools

    def _apart(self) -> Together:
        """Each part by objects of its own."""
        file = self.name.removeprefix("kubernetes_")
        return Together(
            lambda _, job, options: [(at, port(job, index)) for index, at in enumerate(self.leaders(job, options))],
            lambda jobs, options, plans: {
                (part, file): self.objects(job, options, plans[part]) for part, job in jobs.parts
            },
            lambda _, job, options: self.order(job, options),
            lambda _, job, options: self.own(job, options),
        )

    def _served(self, job: Job, options: Any) -> list[Node]:
        """What clients need."""
        first = (lambda *_: self.pods) if self.by_host(job) else self.first  # the one that is ready has rank 0
        return serving.objects(job, options, first, self.pods, by_host=self.by_host(job))

    def _refuse(self, jobs: Jobs, options: Any) -> None:
        for _, job in jobs.parts:
            rules.refuse(self.name, job, options)
