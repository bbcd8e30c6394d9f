"""What else would give: the best plan's degrees with more nodes, another batch or another precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.errors import CompilerError
from compiler.searches import typed
from compiler.searches.costs import placed
from compiler.searches.feasible import feasible
from compiler.searches.find import Found
from compiler.searches.leaders import GRIDS
from compiler.searches.limits import kept
from compiler.searches.space import NODES, VPP, Space
from compiler.specs.config import Config


def rows(found: Found) -> Iterator[dict[str, Any]]:
    """Each change beside the best plan, on the nodes that it takes. All degrees but attention DP stay."""
    config = _chosen(found)
    train, gpu = config.workload.train, config.hardware.gpu
    nodes, batch = config.hardware.nodes, config.workload.global_batch_size
    most = nodes * 2 if config.hardware.inventory is None else found.space.config.hardware.nodes
    sizes = {2 * nodes: "twice the nodes", nodes + 1: "one more node"}
    changes: list[tuple[str, str, Any]] = [(sizes[size], NODES, size) for size in sorted(sizes) if size <= most]
    if train or "workload.global_batch_size" not in found.space.vary:
        changes.append(("twice the batch", "workload.global_batch_size", 2 * batch))
    if config.workload.precision in ("bf16", "fp16") and gpu.peak_flops.fp8 and (train or not config.model.stored):
        changes.append(("FP8", "workload.precision", "fp8"))
    for what, key, value in changes:
        changed = placed(config, key, value)
        gpus = changed.hardware.gpus if key == NODES else int(found.figures.gpus[0])
        yield {"what": f"{what}, `{key}={value}`", **_with(found, changed, gpus)}


def _chosen(found: Found) -> Config:
    """The configuration with what the best plan varies, its nodes, and every limit but that of its GPUs and of its load: what more it
    could carry is asked.
    """
    config = found.space.config
    for key in (*(key for key, _ in found.space.varied()), NODES):
        config = placed(config, key, found.plans.value(key, 0))
    return replace(config, search=replace(config.search, gpus=None, requests_per_s=None, objective="throughput"))


def _with(found: Found, config: Config, gpus: int) -> dict[str, Any]:
    """What the best plan's degrees give under another configuration."""
    train, chosen = config.workload.train, found.plans.chosen
    fixed = {name: int(chosen[name][0]) for name in GRIDS if not (train and name == "adp")}
    space = Space(config, fixed, {VPP: (int(chosen["vpp"][0]),)}, gpus)
    try:
        other = feasible(space)
        if not len(other.plans):
            rule = max(other.refused, key=lambda name: other.refused[name], default="")
            return _none(
                f"no plan with these degrees: refused by {rule}" if rule else "no plan with these degrees fills it"
            )
        other, rates = kept(space, other)
    except CompilerError:
        return _none("no plan with these degrees keeps the limits")
    at = int(np.argmax(rates.tokens_per_s))
    share = float(rates.tokens_per_s[at] / found.figures.tokens_per_s[0])
    degrees = typed.degrees(space, other.plans, at).name
    return {"degrees": degrees, "of_best": share, "says": f"{share:.1%} of the tokens/s"}


def _none(says: str) -> dict[str, Any]:
    return {"degrees": "", "of_best": None, "says": says}
