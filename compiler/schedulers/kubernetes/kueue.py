"""Kueue: the queue that starts a gang whole, and topology-aware scheduling, which ties indices to places."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from compiler.checks import Check, check, warned
from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes.objects import Node
from compiler.schedulers.kubernetes.options import Queued
from compiler.schedulers.kubernetes.order import PLURAL, Tie, Ties, loose, verdict
from compiler.schedulers.kubernetes.topology import Level, equal_runs, holds, levels

PREFIX = "kueue.x-k8s.io/"

QUEUE = "my-queue"
LABEL = "example.com/topology"
"""What a fix calls a LocalQueue and a label of nodes, whose names only the site knows: such as compile as they are."""


@dataclass(frozen=True)
class Placement:
    """What the pods of one instance ask of Kueue.

    `mode` is required (one domain of `level` holds them all) or preferred; `slices` hold that many consecutive ones in
    one domain each, the largest first. A label that is None is one that the site does not name.
    """

    mode: str
    level: Level
    slices: tuple[tuple[Level, int], ...] = ()

    @property
    def levels(self) -> list[Level]:
        return [self.level, *(level for level, _ in self.slices)]

    def ties(self, job: Job) -> list[Tie]:
        """What must hold: preferences need not."""
        whole = [Tie(self.level, (job.nodes,))] * (self.mode == "required")
        return [*whole, *(Tie(level, (size,) * (job.nodes // size)) for level, size in self.slices)]

    def annotations(self, group: str | None = None) -> Node:
        """Of the pod template. In a `group` of two pod sets both carry the same, and slices are not for groups."""
        found = {f"{PREFIX}podset-{self.mode}-topology": str(self.level.key)}
        if group is not None:
            return {**found, f"{PREFIX}podset-group-name": group}
        if len(self.slices) == 1:
            ((level, size),) = self.slices
            found[f"{PREFIX}podset-slice-required-topology"] = str(level.key)
            found[f"{PREFIX}podset-slice-size"] = str(size)
        elif self.slices:
            layers = [{"topology": str(level.key), "size": size} for level, size in self.slices]
            found[f"{PREFIX}podset-slice-required-topology-constraints"] = json.dumps(layers)
        return found


def placement(job: Job, mode: str | None, *, slices: bool = True) -> Placement | None:
    """The smallest domain that holds an instance, and slices for the domains within it; None where nothing is asked for.

    Where none holds it, the largest is preferred. `mode` preferred asks for no slices.
    """
    known = levels(job)
    if mode is None or not known or job.nodes == 1:
        return None
    holding = next((level for level in known if holds(level, job)), None)
    around = known[-1] if holding is None else holding
    asked = "preferred" if holding is None else mode
    within = known[: known.index(around) + (holding is None)]
    return Placement(asked, around, _slices(job, within) if slices and mode == "required" else ())


def _slices(job: Job, within: Sequence[Level]) -> tuple[tuple[Level, int], ...]:
    """Layers from the largest to the smallest, each of which parts the one before; one of single nodes holds nothing.

    A layer whose runs are those of a smaller one holds by it.
    """
    found: list[tuple[Level, int]] = []
    for level in within:
        size = equal_runs(job, level)
        if size is not None and size > 1 and (not found or (size > found[0][1] and size % found[0][1] == 0)):
            found.insert(0, (level, size))
    return tuple(found)


def labels(queue: str | None, priority: str | None) -> Node:
    """Of the object that is queued."""
    given = {"queue-name": queue, "priority-class": priority}
    return {PREFIX + name: value for name, value in given.items() if value is not None}


def ties(job: Job, mode: str | None, *, slices: bool = True) -> Ties:
    """Of every instance, as all ask for the same."""
    placed = placement(job, mode, slices=slices)
    return lambda _: [] if placed is None else placed.ties(job)


def order(
    job: Job,
    mode: str | None,
    what: str,
    target: str,
    *,
    slices: bool = True,
    alone: Ties | None = None,
    own: Ties | None = None,
) -> Problem | None:
    """Why neither Kueue nor the controller ties `what` to places, if they do not.

    `own` are the controller's ties as they are, `alone` those that it would make by labels of nodes.
    """
    kept = own or ties(job, mode, slices=slices)
    fixes = []
    if alone is not None and loose(job, alone) is None:
        fixes.append(f"write site.kubernetes.topology.leaf={LABEL}-leaf (domain, where NVLink joins nodes)")
    if loose(job, ties(job, "required", slices=slices)) is None:
        fixes.append(f"{queue(target)} scheduler.{target}.topology=required{_labels(job, slices=slices)}")
    if not fixes and loose(job, ties(job, "required")) is None:  # which a group of two sets of pods cannot be asked
        asked = f"scheduler.jobset.queue={QUEUE} scheduler.jobset.topology=required{_labels(job, slices=True)}"
        fixes.append(f"for a LocalQueue that is called {QUEUE}, write scheduler=jobset {asked}")
    found, placed = verdict(job, what, kept, fixes), placement(job, mode, slices=slices)
    if found is not None and placed is not None and not kept(0):
        return Problem(
            f"Kueue only prefers the plan's {PLURAL[placed.level.name]}, so spans of groups are hopes", found.instead
        )
    return found


def queue(target: str) -> str:
    """What to write for a LocalQueue of Kueue, whose name only the site knows."""
    return f"for a LocalQueue that is called {QUEUE}, write scheduler.{target}.queue={QUEUE}"


def _labels(job: Job, *, slices: bool) -> str:
    """Labels of nodes that a required placement asks for besides, where the site names none."""
    placed = placement(job, "required", slices=slices)
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
        holds=options.queue is not None,
        observed=options.queue,
        limit="a LocalQueue",
        message=f"{asked} is Kueue's, which sees only what is queued",
        fix=queue(target),
    )
    placed = placement(job, options.topology)
    yield check(
        name,
        holds=placed is not None or job.nodes == 1,
        observed="none",
        limit="a domain",
        message=f"{asked} has nothing to ask for: the plan's network has neither leaves nor domains",
        fix="write hardware.fabric.nodes_per_leaf=32, or how many nodes share a leaf switch",
    )
    if placed is not None:
        yield from _layers(placed, target)
        yield from _named_levels(placed, name, asked)


def _layers(placed: Placement, target: str) -> Iterator[Check]:
    """Slices within slices."""
    if len(placed.slices) > 1:
        layers = " of ".join(f"{size} in one {level.name}" for level, size in reversed(placed.slices))
        yield warned(
            "kueue-layers",
            observed=layers,
            limit="one level of slices",
            message=f"pods are placed {layers}: slices within slices, which Kueue knows behind a feature gate alone",
            fix=f"see that Kueue runs with TASMultiLayerTopology, or leave scheduler.{target}.topology out",
        )


def _named_levels(placed: Placement, name: str, asked: str) -> Iterator[Check]:
    """What the site calls each level."""
    for level in placed.levels:
        yield check(
            name,
            holds=level.key is not None,
            observed=level.key,
            limit="a node label",
            message=f"{asked} needs the label of nodes that names their {level.name}",
            fix=f"write site.kubernetes.topology.{level.name}={LABEL}-{level.name}, or what label your nodes have",
        )
