"""Prefill and decode on Kubernetes: the objects of both pools in one folder, each told where the others are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from compiler.checks import Check, check
from compiler.errors import Problem
from compiler.render.artifacts import Artifact
from compiler.schedulers.job import Job, PooledJob
from compiler.schedulers.kubernetes import checks, plan_files, rules, serving
from compiler.schedulers.kubernetes.container import ENDPOINTS, port
from compiler.schedulers.kubernetes.controller import Controller, manifest
from compiler.schedulers.kubernetes.objects import Node
from compiler.schedulers.kubernetes.plan_files import File
from compiler.schedulers.kubernetes.webhooks import refused
from compiler.schedulers.target import Target

Documents = dict[tuple[str, str], list[Node]]
"""(role, nothing where they are for both; file name) -> objects."""


@dataclass(frozen=True)
class Pools:
    """How a controller starts both pools.

    `leaders` are address and port of rank 0 of a pool's instances; `objects` are all but the ConfigMaps, given the volumes of
    the roles; `order` and `own` are as the controller's, of one pool among the others.
    """

    controller: Controller
    leaders: Callable[[PooledJob, Job, Any], list[tuple[str, int]]]
    objects: Callable[[PooledJob, Any, Mapping[str, Node]], Documents]
    order: Callable[[PooledJob, Job, Any], Problem | None]
    own: Callable[[PooledJob, Job, Any], Iterator[Check]]

    def documents(self, jobs: PooledJob, options: Any) -> Documents:
        known = File(ENDPOINTS, self.endpoints(jobs, options))
        shipped = {role: plan_files.ship(job, options, [known]) for role, job in jobs.pools}
        maps = {(role, "configmap"): list(found.maps) for role, found in shipped.items()}
        own = self.objects(jobs, options, {role: found.volume for role, found in shipped.items()})
        served = [(role, self.controller.served(job, options)) for role, job in jobs.pools]
        return {**maps, **own, **{(role, name): found for role, files in served for name, found in files.items()}}

    def endpoints(self, jobs: PooledJob, options: Any) -> str:
        """A line for each instance: role, instance, address and port of its rank 0, and where its server answers, if any."""
        return "".join(
            " ".join([role, str(instance), address, str(number), *serving.url(job, instance)]) + "\n"
            for role, job in jobs.pools
            for instance, (address, number) in enumerate(self.leaders(jobs, job, options))
        )

    def artifacts(self, jobs: PooledJob, options: Any) -> Iterator[Artifact]:
        """The manifests, flat. Raises ConfigError for a value that Kubernetes cannot carry."""
        for _, job in jobs.pools:
            rules.refuse(self.controller.name, job, options)
        for key, found in self.documents(jobs, options).items():
            yield manifest("-".join(filter(None, key)), found)

    def checks(self, jobs: PooledJob, options: Any) -> Iterator[Check]:
        """As the controller's, with the role in front where they are about one pool."""
        target = self.controller.name
        for _, job in jobs.pools:
            rules.refuse(target, job, options)
        documents = self.documents(jobs, options)
        for role, job in jobs.pools:
            found = [
                *checks.promises(target, job, self.order(jobs, job, options), self.controller.gang(job, options)),
                *checks.hosts(target, job, self.controller.by_host(job)),
                *checks.of_job(target, job, options, mpi=self.controller.mpi),
                *self.own(jobs, job, options),
                *refused([item for (own, _), part in documents.items() if own == role for item in part]),
            ]
            yield from (replace(item, id=f"{role}.{item.id}") for item in found)
        both = [item for (own, _), part in documents.items() if not own for item in part]
        if both:
            yield from refused(both)
        yield from _ports(jobs)

    def target(self) -> Target:
        return replace(self.controller.target(), pooled=self.artifacts, pooled_checks=self.checks)


def apart(controller: Controller, leaders: Callable[[Job, Any], list[str]]) -> Target:
    """A target that starts each pool by objects of its own; `leaders` are addresses of rank 0 of a job's instances."""

    def objects(jobs: PooledJob, options: Any, plans: Mapping[str, Node]) -> Documents:
        return {(role, controller.file): controller.objects(job, options, plans[role]) for role, job in jobs.pools}

    return Pools(
        controller,
        lambda _, job, options: [(name, port(job, instance)) for instance, name in enumerate(leaders(job, options))],
        objects,
        lambda _, job, options: controller.order(job, options),
        lambda _, job, options: controller.own(job, options),
    ).target()


def _ports(jobs: PooledJob) -> Iterator[Check]:
    """Instances of one pool have ports of their own; those of two pools count from the same."""
    shared = [role for role, job in jobs.pools if job.ranks_per_node < job.gpus_per_node]
    if any(job.site.kubernetes.host_network for _, job in jobs.pools):
        yield check(
            "pools-ports",
            holds=len(shared) < len(jobs.pools),
            observed=" and ".join(shared) or "none",
            limit="one pool at most",
            message="pods of both pools may share a node and, by site.kubernetes.host_network, its ports",
            fix="write site.kubernetes.host_network=false, or instances of whole nodes in one of the pools",
        )
