"""What people run who do not search: plain data parallelism, and the rule of thumb of a framework's guide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.costs.project import project
from compiler.passes import timed_by
from compiler.searches import costs, typed
from compiler.searches.beside import PREFILL
from compiler.searches.feasible import bytes_of, rules
from compiler.searches.find import Found
from compiler.searches.limits import CLIENTS, broken
from compiler.searches.order import figures
from compiler.searches.plans import Index, Plans
from compiler.searches.rules import Asked
from compiler.searches.space import Space
from compiler.searches.vary import current
from compiler.words import gigabytes, number, seconds

PLAIN = {"tp": 1, "cp": 1, "pp": 1, "ep": 1, "etp": 1}
"""Every GPU has the whole model."""


def rows(found: Found) -> Iterator[dict[str, Any]]:
    """Both, beside the best plan: what each is, its place and its rate, or why it does not run."""
    plain = np.flatnonzero(_mask(found.plans, PLAIN))
    what = "plain data parallelism" if found.space.config.workload.train else "a server on every GPU"
    yield _row(found, what, int(plain[0])) if len(plain) else _missing(found.space, what)
    thumb = _thumb(found)
    if len(thumb):
        yield _row(found, _words(found.space), int(thumb[0]))


def _row(found: Found, what: str, at: int) -> dict[str, Any]:
    rate = float(found.figures.tokens_per_s[at] / found.figures.tokens_per_s[0])
    says = "it is the best" if at == 0 else f"{rate:.1%} of its rate, place {at + 1:,} of {len(found.plans):,}"
    degrees = typed.name(found.space, found.plans, at)
    return {"what": what, "degrees": degrees, "rank": at + 1, "of_best": rate, "says": says}


def _missing(space: Space, what: str) -> dict[str, Any]:
    """Plain data parallelism where it is no feasible plan: the rule that refuses it, or its memory."""
    grids = space.grids()
    plans = space.staged(grids.take(np.flatnonzero(_mask(grids, PLAIN))[:1]))
    plans = plans.take(plans.chosen["vpp"] == 1)
    for key, values in space.varied():
        own = current(space.config, key)
        plans = plans.times(key, values)
        plans = plans.take(plans.chosen[key] == (list(values).index(own) if own in values else 0))
    found = {"what": what, "degrees": "", "rank": None, "of_best": None}
    if not len(plans):
        return found | {"says": "the degrees that are written leave it out"}
    asked, name = Asked(space), typed.degrees(space, plans, 0).name
    left, _ = asked.passing(plans, rules(space.config, space.vary))
    if not len(left):
        return found | {"degrees": name, "says": f"refused by {', '.join(asked.refused)}"}
    return found | {"degrees": name, "says": _lacks(space, left)}


def _lacks(space: Space, plan: Plans) -> str:
    """What a plan that every rule lets pass has against it: its memory, or what clients see of it."""
    config, (by, known) = space.config, timed_by(space.config)
    costed = costs.every(space, plan, lambda one, many: project(one, many, by))
    used, capacity = float(bytes_of(config, costed, known)[0]), config.hardware.gpu.memory_bytes
    if np.isinf(used):
        return "does not fit: there is no room for one request"
    if used > capacity:
        return f"does not fit: {gigabytes(used)} of {gigabytes(capacity)} a GPU"
    whole = figures(config, plan, costed)
    over = [f"its {CLIENTS[name]} is {seconds(value)}" for name, value in broken(config, whole, 0).items()]
    return "does not keep the limits: " + " and ".join(
        over or [f"it carries {number(float(whole.requests_per_s[0]))} requests/s"]
    )


def _mask(plans: Plans, chosen: dict[str, int]) -> NDArray[np.bool_]:
    found = np.ones(len(plans), dtype=bool)
    if PREFILL["tp"] in plans.chosen:
        found &= plans.chosen[PREFILL["tp"]] == 0
    for key, value in chosen.items():
        found &= plans.chosen[key] == value
    return found


def _words(space: Space) -> str:
    if space.config.workload.train:
        return "least model parallelism that fits: tp inside a node, then pp; experts over ep"
    return "tp over a node, pp over nodes"


def _thumb(found: Found) -> Index:
    """Plans as guides say, the first of them first. Megatron-LM docs/user-guide/parallelism-guide.md: as little model parallelism as
    fits, tp inside a node before pp, and ep before tp for experts; vLLM docs/serving/parallelism_scaling.md: tp over the GPUs of a node, pp over nodes.
    """
    plans, node = found.plans, found.space.config.hardware.node.gpus
    chosen = plans.chosen
    good = _mask(plans, {"cp": int(chosen["cp"].min()), "vpp": 1})
    if found.space.config.workload.train:
        good &= chosen["tp"] <= node
        spread = np.minimum(chosen["ep"], node)
        order: list[NDArray[Any]] = [-spread, chosen["etp"], chosen["pp"], chosen["tp"] * chosen["pp"]]
    else:
        good &= (chosen["tp"] == min(node, int(chosen["tp"].max()))) & (chosen["adp"] == 1)
        order = [chosen["ep"], chosen["pp"]]
    index = np.lexsort((np.arange(len(plans)), *order))
    picked: Index = index[good[index]]
    return picked
