"""Whether the spans of a plan's groups hold wherever its pods may land: what ties their indices to places, level by level."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes.topology import Level, levels

PLURAL = {"domain": "NVLink domains", "leaf": "leaves", "pod": "pods"}


@dataclass(frozen=True)
class Tie:
    """Each of `runs`, that many nodes of an instance in the order of slots, is in one domain of `level`."""

    level: Level
    runs: tuple[int, ...]


Ties = Callable[[int], Sequence[Tie]]
"""Those of an instance."""


def loose(job: Job, ties: Ties) -> Level | None:
    """The smallest level of which nodes that the plan has in one domain may come to lie in several; None where none is.

    What is in one domain is in one of each level above it, as leaves hang in pods and NVLink domains in leaves.
    """
    if job.nodes == 1:
        return None
    known = levels(job)
    for index, level in enumerate(known):
        within = {inner.name for inner in known[: index + 1]}
        for instance in range(job.instances):
            held = [run for tie in ties(instance) if tie.level.name in within for run in _ends(tie.runs)]
            for first, end in _ends(level.runs(job, instance)):
                if end - first > 1 and not any(start <= first and end <= stop for start, stop in held):
                    return level
    return None


def _ends(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    return pairwise((0, *accumulate(sizes)))


def verdict(job: Job, what: str, ties: Ties, fixes: Sequence[str]) -> Problem | None:
    """Why `what`, an index of pods, does not keep the plan's spans, if it does not; `fixes` would make it."""
    level = loose(job, ties)
    if level is None:
        return None
    tied = [tie.level.name for tie in ties(0)]
    found = f"nothing ties {what} to a node: the spans of groups are assumptions on Kubernetes"
    if tied:
        lost = f"groups within one {level.name} may span several"
        found = f"{what} is tied to the plan's {PLURAL[tied[-1]]}, and not to its {PLURAL[level.name]}: {lost}"
    last = "plan domains of one size, or pin the plan: give hardware.inventory with exactly its hosts"
    return Problem(found, "; or ".join(fixes) or last)
