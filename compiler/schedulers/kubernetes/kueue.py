"""Kueue: the queue that starts a gang whole, and topology-aware scheduling, which ties indices to places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.checks import Check, check
from compiler.errors import Problem
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes.objects import Node
from compiler.schedulers.kubernetes.options import Queued
from compiler.schedulers.kubernetes.topology import Level, equal_runs, levels

PREFIX = "kueue.x-k8s.io/"

QUEUE = "my-queue"
LABEL = "example.com/topology"
"""What a fix calls a LocalQueue and a label of nodes, whose names only the site knows: such as compile as they are."""


@dataclass(frozen=True)
class Placement:
    """What the pods of one instance ask of Kueue.

    `mode` is required (one domain of `level` holds them all) or preferred; `slice_level` holds each `slice_size`
    consecutive ones. A label that is None is one that the site does not name.
    """

    mode: str
    level: Level
    slice_level: Level | None = None
    slice_size: int = 0

    @property
    def levels(self) -> list[Level]:
        return [level for level in (self.level, self.slice_level) if level is not None]

    @property
    def proves(self) -> bool:
        """Whether the plan's spans must hold: preferences alone do not make them."""
        return self.mode == "required" or self.slice_level is not None

    def annotations(self, group: str | None = None) -> Node:
        """Of the pod template. In a `group` of two pod sets both carry the same, and slices are not for groups."""
        found = {f"{PREFIX}podset-{self.mode}-topology": str(self.level.key)}
        if group is not None:
            return {**found, f"{PREFIX}podset-group-name": group}
        if self.slice_level is not None:
            found[f"{PREFIX}podset-slice-required-topology"] = str(self.slice_level.key)
            found[f"{PREFIX}podset-slice-size"] = str(self.slice_size)
        return found


def placement(job: Job, mode: str | None, *, slices: bool = True) -> Placement | None:
    """The smallest domain that holds an instance, and slices for the domains within it; None where nothing is asked for.

    Where none holds it, the largest is preferred. `mode` preferred asks for no slices.
    """
    known = levels(job)
    if mode is None or not known or job.nodes == 1:
        return None
    holding = next((level for level in known if _holds(level, job)), None)
    around = known[-1] if holding is None else holding
    asked = "preferred" if holding is None else mode
    for inner in known[: known.index(around) + (holding is None)]:
        size = equal_runs(job, inner)
        if slices and mode == "required" and size is not None:
            return Placement(asked, around, inner, size)
    return Placement(asked, around)


def _holds(level: Level, job: Job) -> bool:
    return all(len(level.runs(job, instance)) == 1 for instance in range(job.instances))


def labels(queue: str | None, priority: str | None) -> Node:
    """Of the object that is queued."""
    given = {"queue-name": queue, "priority-class": priority}
    return {PREFIX + name: value for name, value in given.items() if value is not None}


def order(
    job: Job, mode: str | None, what: str, target: str, *, exclusive: bool = False, ties: bool = True
) -> Problem | None:
    """Why Kueue does not tie `what` to places, if it does not. `exclusive` says that labels of nodes alone would, `ties`
    that Kueue would where it is asked to.
    """
    placed = placement(job, mode)
    if job.nodes == 1 or (placed is not None and placed.proves):
        return None
    fix = f"{queue(target)} scheduler.{target}.topology=required{_labels(job, mode)}"
    if placed is not None:
        return Problem(f"Kueue only prefers the plan's {placed.level.name}s, so spans of groups are hopes", fix)
    if exclusive:
        alone = f"write site.kubernetes.topology.leaf={LABEL}-leaf (domain, where NVLink joins nodes)"
        fix = f"{alone}; or {fix}" if ties else alone
    return Problem(f"nothing ties {what} to a node: the spans of groups are assumptions on Kubernetes", fix)


def queue(target: str) -> str:
    """What to write for a LocalQueue of Kueue, whose name only the site knows."""
    return f"for a LocalQueue that is called {QUEUE}, write scheduler.{target}.queue={QUEUE}"


def _labels(job: Job, mode: str | None) -> str:
    """Labels of nodes that the placement asks for besides, where the site names none."""
    placed = placement(job, mode or "required")
    missing = [level.name for level in placed.levels if level.key is None] if placed else []
    labels = " ".join(f"site.kubernetes.topology.{name}={LABEL}-{name}" for name in missing)
    return f" {labels} (the labels that the site's nodes have)" if labels else ""


def checks(job: Job, options: Queued, target: str) -> Iterator[Check]:
    """What topology-aware scheduling needs: a queue, domains in the plan, and labels of nodes at the site."""
    if options.topology is None:
        return
    asked = f"scheduler.{target}.topology={options.topology}"
    name = "kueue-topology"
    yield check(
        name,
        options.queue is not None,
        options.queue,
        "a LocalQueue",
        f"{asked} is Kueue's, which sees only what is queued",
        queue(target),
    )
    placed = placement(job, options.topology)
    yield check(
        name,
        placed is not None or job.nodes == 1,
        "none",
        "a domain",
        f"{asked} has nothing to ask for: the plan's network has neither leaves nor domains",
        "write hardware.fabric.nodes_per_leaf=32, or how many nodes share a leaf switch",
    )
    for level in () if placed is None else placed.levels:
        yield check(
            name,
            level.key is not None,
            level.key,
            "a node label",
            f"{asked} needs the label of nodes that names their {level.name}",
            f"write site.kubernetes.topology.{level.name}={LABEL}-{level.name}, or what label your nodes have",
        )
