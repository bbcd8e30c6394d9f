"""`impact`: what a plan loses with a machine, a leaf or a rack, what is left, and how many replicas its worst leaf takes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from compiler.commands.edits import INSTEAD, of_folder
from compiler.commands.expert_slots import expert_slots
from compiler.commands.folder import PlanFolder
from compiler.commands.lost import HELP, losses, parts
from compiler.commands.steady import steady
from compiler.commands.text import aligned
from compiler.entry import Parser, finish
from compiler.errors import shown
from compiler.failures.closed_graph import ClosedGraph
from compiler.failures.losses import Lost
from compiler.layout.stages import span
from compiler.words import called, several

KEYS = ("ranks", "groups", "stages", "experts", "replicas", "nodes")
SHOWN = 8
"""Runs of numbers, or names, of a line."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Answer and exit: 0, 1 where a file of the plan is not as it was compiled, 2 for bad input."""
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Print what is hit. Raises ConfigError."""
    args = _parse(argv)
    path = Path(args.plan)
    plans, edits = steady(path, lambda: (parts(path), of_folder(path)))
    graphs = {role: ClosedGraph(plan, plan.hosts, expert_slots=expert_slots(plan)) for role, plan in plans.items()}
    clusters = {role: graph.cluster for role, graph in graphs.items()}
    found = losses(clusters, [item for items in args.lost for item in items])
    answers = {role: _Answer(role, plan, graphs[role], found[role]) for role, plan in plans.items()}
    for edit in edits:
        print(f"warning: {shown(edit.file)} is not as it was compiled: {shown(edit.what)} ; {INSTEAD}", file=sys.stderr)
    if args.json:
        print(json.dumps(_json(answers), indent=1))
    else:
        for answer in answers.values():
            print(*map(shown, answer.lines()), sep="\n")
    return 1 if edits else 0


class _Answer:
    """What one plan loses; names of a pool, and of one of several instances, stand before a number and a colon."""

    def __init__(self, role: str, plan: PlanFolder, graph: ClosedGraph, lost: Lost) -> None:
        self.role, self.plan, self.machines, self.lost = role, plan, graph.cluster, lost
        self.copies, self.damage, self.leaf = graph.replicas, graph.impact(lost), graph.worst_leaf

    def hit(self) -> dict[str, list[Any]]:
        """The lists of the contract."""
        found, pre = self.damage, f"{self.role}:" * bool(self.role)
        several = len(found.groups) > 1
        groups = [
            f"{pre}{f'{instance}:' * several}{kind}/{index}"
            for instance, kinds in enumerate(found.groups)
            for kind, indices in kinds.items()
            for index in indices.tolist()
        ]
        numbers = (found.ranks, found.stages, found.experts, found.replicas)
        ranks, stages, experts, copies = ([f"{pre}{each}" if pre else each for each in ids.tolist()] for ids in numbers)
        return dict(zip(KEYS, (ranks, groups, stages, experts, copies, self.nodes()), strict=True))

    def nodes(self) -> list[Any]:
        """Hosts, or slots where none is known."""
        if self.plan.slots.pinned:
            return [self.plan.slots.hosts[slot] for slot in self.slots()]
        return [f"{self.role}:{slot}" if self.role else slot for slot in self.slots()]

    def slots(self) -> list[int]:
        found: list[int] = np.unique(self.machines.slot[self.damage.ranks]).tolist()
        return found

    def survives(self) -> dict[str, Any]:
        found = self.damage
        return {
            "ranks": len(self.lost.ranks) - len(found.ranks),
            "nodes": len(np.unique(self.machines.slot)) - len(self.nodes()),
            "replicas": found.whole.tolist(),
            "spares": [name for name in self.plan.slots.spares if name not in self.lost.spares],
            "weights": found.survives,
            "lost_stages": found.lost_stages.tolist(),
            "lost_experts": found.lost_experts.tolist(),
            **({"lost_experts_by_layer": self.by_layer()} if self.plan.experts.by_layer else {}),
        }

    def by_layer(self) -> dict[int, list[int]]:
        """Experts of which no copy is left, of layers that place them each in its own way."""
        return {layer: ids.tolist() for layer, ids in self.damage.gone.items()}

    def lines(self) -> Iterator[str]:
        found, plan, leaf = self.damage, self.plan, self.leaf
        instances = f" x {plan.instances} instances" * (plan.instances > 1)
        copies = f"{several(self.copies.count, 'replica')} of {self.copies.members.shape[1]}"
        yield f"{plan.name}, {several(plan.size, 'rank')}{instances}, {copies}"
        if self.lost.slots.any() or self.lost.spares:
            yield from aligned(list(self._rows()))
        yield (
            f"worst leaf: {called('leaf', leaf.leaf)} of {called('pod', leaf.pod)} ({several(leaf.nodes, 'node')}) takes {leaf.replicas} of"
            f" {several(leaf.count, 'replica')} with it; with each replica on as few leaves as it fits a leaf would take"
            f" {leaf.packed}, with each over all leaves {leaf.spread}"
        )
        if not found.survives:
            yield "some weights are on no rank any more: only a checkpoint has them"

    def _rows(self) -> Iterator[tuple[str, str]]:
        found, plan = self.damage, self.plan
        yield "ranks", f"{len(found.ranks)} of {len(self.lost.ranks)}: {_runs(found.ranks.tolist())}"
        slots = self.slots()
        yield "nodes", f"{len(slots)}: {_names(self.nodes()) if plan.slots.pinned else _runs(slots)}"
        for instance, kinds in enumerate(found.groups):
            counts = [f"{kind} {len(ids)} of {len(plan.groups[kind])}" for kind, ids in kinds.items()]
            yield f"groups{f' of instance {instance}' * (plan.instances > 1)}", ", ".join(counts) or "none"
        yield "stages", f"{len(found.stages)} of {plan.stages.pp}: {_runs(found.stages.tolist())}"
        if plan.experts.blocks:
            which = "in some layer" if plan.experts.by_layer else "of a layer"
            yield "experts", f"{len(found.experts)} {which}: {_runs(found.experts.tolist())}"
        yield "replicas", f"{len(found.replicas)} of {self.copies.count}: {_runs(found.replicas.tolist())}"
        if self.lost.spares:
            yield "spares", f"{len(self.lost.spares)}: {_names(self.lost.spares)}"
        left = self.survives()
        kept = f"{several(len(found.whole), 'whole replica')}, {several(len(left['spares']), 'spare')}"
        where = f"{several(left['ranks'], 'rank')} on {several(left['nodes'], 'node')}"
        yield "survives", f"{where}, {kept}; {self._held(left)}"

    def _held(self, left: Mapping[str, Any]) -> str:
        """Whether the ranks that are left hold the whole model."""
        stages = f"stages {_runs(left['lost_stages'])}" if left["lost_stages"] else ""
        gone = " or ".join(filter(None, (stages, self._lost_experts())))
        return f"no rank holds {gone} any more" if gone else "every layer and expert is still on a rank"

    def _lost_experts(self) -> str:
        """As `experts 0-3`, or `experts 0-3 of layer 5` where layers differ; nothing where none is lost."""
        if not self.plan.experts.by_layer:
            ids = self.damage.lost_experts.tolist()
            return f"experts {_runs(ids)}" if ids else ""
        named = _names([f"{_runs(ids)} of layer {layer}" for layer, ids in self.by_layer().items()])
        return f"experts {named}" if named else ""


def _json(answers: Mapping[str, _Answer]) -> dict[str, Any]:
    """The contract's lists, those of pools together, and what is left of each."""
    hits = [answer.hit() for answer in answers.values()]
    found: dict[str, Any] = {key: [each for hit in hits for each in hit[key]] for key in KEYS}
    rest = {
        role: {"plan": answer.plan.name, "survives": answer.survives(), "worst_leaf": vars(answer.leaf)}
        for role, answer in answers.items()
    }
    alone = rest.get("")
    return found | ({"pools": rest} if alone is None else alone)


def _runs(ids: Sequence[int]) -> str:
    """Numbers as ranges."""
    found: list[list[int]] = []
    for each in map(int, ids):
        if found and found[-1][1] == each - 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    texts = [span(first, last) for first, last in found]
    return _names(texts) or "none"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + f", ... ({len(names) - SHOWN} more)" * (len(names) > SHOWN)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m compiler.impact",
        description="What a plan loses with machines, leaves or racks, and what is left; without --lost its worst leaf alone.",
        epilog="example: python -m compiler.impact out/NAME --lost host=node017 leaf=rack3",
        allow_abbrev=False,
    )
    parser.add_argument("plan", metavar="PLAN", help="a plan folder")
    parser.add_argument("--lost", metavar="X", nargs="+", action="append", default=[], help=HELP)
    parser.add_argument("--json", action="store_true", help="print JSON, with every list whole")
    return parser.parse_args(list(argv))
