"""Why a search finds nothing: what binds, and what would fit."""

from __future__ import annotations

from dataclasses import replace

from compiler.checks import Check, Status
from compiler.errors import CompilerError, InvariantError, Problem
from compiler.invariants import declared
from compiler.searches import typed
from compiler.searches.feasible import Feasible, cheapest, feasible
from compiler.searches.leaders import configured
from compiler.searches.plans import Plans
from compiler.searches.space import INSTANCES, NODES, STAGES, Space
from compiler.searches.watched import DEGREES

DOUBLINGS = 4
"""Of the nodes, tried one after the other for a cluster that is large enough."""


def error(space: Space, found: Feasible) -> CompilerError:
    """What a user reads where no plan is left."""
    if found.raised is not None:
        return found.raised
    if not found.considered:
        return InvariantError([_fixed(space)])
    if found.tight is not None:
        return InvariantError([_memory(space, found)])
    return InvariantError([_rule(space, found)])


def _fixed(space: Space) -> Problem:
    names = {name: f"parallel.{name}" for name in space.fixed} | {"instances": "framework.instances"}
    kept = " ".join(f"{names[name]}={value}" for name, value in space.fixed.items())
    return Problem(
        f"{kept} leaves no plan of {space.gpus} GPUs: degrees multiply to all of them",
        f"leave {kept.split(' ')[0].partition('=')[0]} out, or write a divisor of {space.gpus}",
    )


def _memory(space: Space, found: Feasible) -> Problem:
    tight = found.tight
    if tight is None:
        raise ValueError("no plan was too large")
    plan, used = tight
    capacity = space.config.hardware.gpu.memory_bytes
    one = (
        " ".join(typed.choice(space, plan, 0))
        if set(DEGREES) < set(plan.chosen) and _whole(space, plan)
        else _name(space, plan)
    )
    needs = (
        "has no room for one request" if used == float("inf") else f"needs {used / 1e9:.2f} of {capacity / 1e9:.2f} GB"
    )
    enough = _enough(space)
    return Problem(
        f"no plan of {space.gpus} GPUs fits in memory: of {found.considered:,}, {found.refused.get('memory', 0):,} need more than there is, and the "
        f"smallest of them, {one}, {needs}",
        f"write hardware.nodes={enough}" if enough else "take GPUs with more memory, or lessen the workload",
    )


def _whole(space: Space, plan: Plans) -> bool:
    return all(key in plan.chosen for key, _ in space.varied())


def _name(space: Space, plan: Plans) -> str:
    return typed.degrees(space, plan, 0).name


def _enough(space: Space) -> int | None:
    """Nodes of a cluster that some plan fits on; None where a few doublings are not enough."""
    if space.fixed or space.config.hardware.inventory is not None:
        return None
    small = cheapest(space)
    vary = {key: values for key, values in space.vary.items() if "." not in key or key == "parallel.vpp"}
    for turn in range(1, DOUBLINGS + 1):
        nodes = space.config.hardware.nodes << turn
        hardware = replace(space.config.hardware, nodes=nodes)
        config = replace(small.config, hardware=hardware)
        if config.workload.train and config.workload.global_batch_size < nodes * hardware.node.gpus // 64:
            return None
        if len(feasible(replace(small, config=config, gpus=hardware.gpus, vary=vary)).plans):
            return nodes
    return None


def _rule(space: Space, found: Feasible) -> Problem:
    """The rule that the last plans were refused by, in its own words about one of them."""
    name = max(found.refused, key=lambda one: found.refused[one], default="")
    last = found.last
    said = None if last is None else _said(space, last)
    if said is not None:
        return Problem(
            f"no plan of {space.gpus} GPUs is left of {found.considered:,}; the last are refused by {said.id}: {said.message}",
            said.fix,
        )
    return Problem(
        f"no plan of {space.gpus} GPUs is left of {found.considered:,}: {name} refuses most", "fix fewer degrees"
    )


def _said(space: Space, last: Plans) -> Check | None:
    whole = last
    for key in (*DEGREES, STAGES, INSTANCES, NODES):
        if key not in whole.chosen:
            whole = whole.times(key, [0 if key == STAGES else 1])
            whole = replace(
                whole, chosen={**whole.chosen, key: whole.chosen[key] + (key != STAGES)}, values={**last.values}
            )
    try:
        checks = list(declared(configured(space, whole, 0)))
    except CompilerError:
        return None
    return next((check for check in checks if check.status is Status.FAIL), None)
