"""Why a search finds nothing: what binds, and what would fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.checks import Check, Status
from compiler.errors import CompilerError, InvariantError, Problem
from compiler.fixes.text import named, prose
from compiler.invariants import declared
from compiler.searches import typed
from compiler.searches.costs import placed
from compiler.searches.feasible import CHEAPEST, Feasible, feasible
from compiler.searches.larger import larger
from compiler.searches.leaders import configured
from compiler.searches.plans import Plans
from compiler.searches.space import INSTANCES, NODES, STAGES, VPP, Space
from compiler.searches.watched import DEGREES

ASKED = 16
"""Plans of which the rule that refuses them is looked for."""

DOUBLINGS = 4
"""Of the nodes, tried one after the other for a cluster that is large enough."""


Again = Callable[[Sequence[str], Sequence[str]], Space]
"""Other overrides, and keys to leave out -> the space that they leave open. Raises CompilerError."""


def error(space: Space, found: Feasible, again: Again) -> CompilerError:
    """What a user reads where no plan is left."""
    if found.raised is not None:
        return found.raised
    if not found.considered:
        return InvariantError([_fixed(space)])
    if found.tight is not None:
        return InvariantError([_memory(space, found)])
    return InvariantError([_rule(space, found, again)])


def written(space: Space) -> dict[str, Any]:
    """What is fixed, by its key."""
    found = {name: value for name, value in space.fixed.items() if name != "instances"}
    instances = space.config.framework.instances
    return {f"parallel.{name}": value for name, value in found.items()} | (
        {INSTANCES: instances} if instances > 1 else {}
    )


def without(space: Space, key: str) -> Space:
    """The space with one of these left open."""
    name = "instances" if key == INSTANCES else key.removeprefix("parallel.")
    fixed = {other: value for other, value in space.fixed.items() if other != name}
    return replace(space, fixed=fixed, config=placed(space.config, INSTANCES, 1) if key == INSTANCES else space.config)


def _fixed(space: Space) -> Problem:
    """What is written leaves no plan: the first of it that there are plans without, at the nearest value that these have."""
    fixed, fixes = written(space), list[str]()
    for key, value in fixed.items():
        plans = space.staged(without(space, key).grids())
        if len(plans):
            own = plans.column(key.removeprefix("parallel."))
            near = int(min(set(own[own > 0].tolist()) or {0}, key=lambda other: (abs(other - value), other)))
            fixes = [*([f"write {key}={near}"] if near else []), f"leave {key} out"]
            break
    kept = " ".join(f"{key}={value}" for key, value in fixed.items()) or "search.vary"
    return Problem(
        f"{kept} leaves no plan of {space.gpus} GPUs: degrees multiply to all of them",
        ", or ".join(fixes) or f"leave {' and '.join([*fixed, 'search.vary'])} out",
    )


def _memory(space: Space, found: Feasible) -> Problem:
    tight = found.tight
    if tight is None:
        raise ValueError("no plan was too large")
    plan, used = tight
    capacity = space.config.hardware.gpu.memory_bytes
    whole = set(DEGREES) < set(plan.chosen) and all(key in plan.chosen for key, _ in space.varied())
    one = " ".join(typed.choice(space, plan, 0)) if whole else typed.degrees(space, plan, 0).name
    needs = (
        "has no room for one request" if used == float("inf") else f"needs {used / 1e9:.2f} of {capacity / 1e9:.2f} GB"
    )
    enough = _enough(space)
    return Problem(
        f"no plan of {space.gpus} GPUs fits in memory: of {found.considered:,}, {found.refused.get('memory', 0):,} need more than there is, and the "
        f"smallest of them, {one}, {needs}",
        f"write {enough}" if enough else "take GPUs with more memory, or lessen the workload",
    )


def _enough(space: Space) -> str:
    """Overrides for a cluster that some plan fits on; empty where a few doublings are not enough."""
    config = space.config
    for key, values in space.varied():
        config = placed(config, key, CHEAPEST[key] if CHEAPEST.get(key) in values else values[0])
    for turn in range(1, DOUBLINGS + 1):
        nodes = -(-space.gpus // config.hardware.node.gpus) << turn
        text, gpus = larger(space, nodes), nodes * config.hardware.node.gpus
        if not text or (config.workload.train and config.workload.global_batch_size < gpus // 64):
            return ""
        wider = placed(config, NODES, max(nodes, config.hardware.nodes))
        vary = {key: values for key, values in space.vary.items() if key == VPP}
        if len(feasible(replace(space, config=wider, gpus=gpus, vary=vary)).plans):
            return larger(space, 2 * nodes) if config.workload.role else text  # the other pool takes as much
    return ""


def _rule(space: Space, found: Feasible, again: Again) -> Problem:
    """The rule that the last plans were refused by, in its own words about one of them."""
    name = max(found.refused, key=lambda one: found.refused[one], default="")
    said = None if found.last is None else _said(space, found.last, found.refused)
    what = f"no plan of {space.gpus} GPUs is left of {found.considered:,}"
    if said is None:
        return Problem(f"{what}: {name} refuses most", f"leave {' and '.join(written(space)) or 'search.vary'} out")
    return Problem(f"{what}; the last are refused by {said.id}: {said.message}", _mends(space, said.fix, again))


def _mends(space: Space, fix: str, again: Again) -> str:
    """Of what a rule says to write, and of what is written, the first that leaves a plan when it is changed."""
    for overrides in named(fix):
        if _leaves(again, overrides, ()):
            return f"write {' '.join(overrides)}"
    loose = next((f"leave {key} out" for key in written(space) if _leaves(again, (), (key,))), "")
    return ", or ".join(text for text in (prose(fix) if not (loose and named(fix)) else "", loose) if text)


def _leaves(again: Again, overrides: Sequence[str], out: Sequence[str]) -> bool:
    try:
        return len(feasible(again(overrides, out)).plans) > 0
    except CompilerError:
        return False


def _said(space: Space, last: Plans, refused: Mapping[str, int]) -> Check | None:
    """The check that fails for most of some of the plans, with what is not chosen yet at its first values: the rule that binds."""
    open_ = {
        key: np.full(len(last), int(key != STAGES), dtype=np.int32) for key in (*DEGREES, STAGES, INSTANCES, NODES)
    }
    whole = replace(last, chosen=open_ | dict(last.chosen))
    for key, values in space.varied():
        whole = whole if key in whole.chosen else whole.times(key, values)
    written = whole.chosen["pp"] == len(space.config.parallel.stages or ())
    whole = whole.take(written) if written.any() else whole
    found, often = dict[str, Check](), Counter[str]()
    for at in np.unique(np.linspace(0, len(whole) - 1, ASKED).astype(int)).tolist():
        with suppress(CompilerError):
            for check in declared(configured(space, whole, at)):
                if check.status is Status.FAIL:
                    found.setdefault(check.id, check)
                    often[check.id] += 1
    return max(found.values(), key=lambda check: (often[check.id], refused.get(check.id, 0)), default=None)
