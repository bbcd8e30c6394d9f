"""What else would give: the best plan's degrees with more nodes, another batch or another precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from compiler.errors import CompilerError
from compiler.searches import typed
from compiler.searches.costs import placed
from compiler.searches.feasible import feasible
from compiler.searches.find import Found
from compiler.searches.order import figures
from compiler.searches.space import VPP, Space
from compiler.specs.config import Config


def rows(found: Found) -> Iterator[dict[str, Any]]:
    """Each change beside the best plan. All degrees but attention DP stay."""
    config = _chosen(found)
    train, gpu = config.workload.train, config.hardware.gpu
    nodes, batch = config.hardware.nodes, config.workload.global_batch_size
    changes: list[tuple[str, str, Any]] = [
        ("one more node", "hardware.nodes", nodes + 1),
        ("twice the nodes", "hardware.nodes", 2 * nodes),
    ]
    if train or "workload.global_batch_size" not in found.space.vary:
        changes.append(("twice the batch", "workload.global_batch_size", 2 * batch))
    if config.workload.precision in ("bf16", "fp16") and gpu.peak_flops.fp8 and (train or not config.model.stored):
        changes.append(("FP8", "workload.precision", "fp8"))
    for what, key, value in changes:
        if key == "hardware.nodes" and config.hardware.inventory is not None:
            continue
        yield {"what": f"{what}, `{key}={value}`", **_with(found, placed(config, key, value))}


def _chosen(found: Found) -> Config:
    """The configuration with what the best plan varies."""
    config = found.space.config
    for key, _ in found.space.varied():
        config = placed(config, key, found.plans.value(key, 0))
    return config


def _with(found: Found, config: Config) -> dict[str, Any]:
    """What the best plan's degrees give under another configuration."""
    chosen = found.plans.chosen
    fixed = {name: int(chosen[name][0]) for name in ("tp", "cp", "pp", "ep", "etp")}
    if not config.workload.train:
        fixed["adp"] = int(chosen["adp"][0])
    space = Space(config, fixed, {VPP: (int(chosen["vpp"][0]),)}, config.hardware.gpus)
    try:
        other = feasible(space)
    except CompilerError:
        return {"degrees": "", "of_best": None, "says": "no plan"}
    if not len(other.plans):
        rule = max(other.refused, key=lambda name: other.refused[name], default="")
        says = f"no plan with these degrees: refused by {rule}" if rule else "no plan with these degrees fills it"
        return {"degrees": "", "of_best": None, "says": says}
    rates = figures(config, other.plans, other.costs).tokens_per_s
    at = int(np.argmax(rates))
    share = float(rates[at] / found.figures.tokens_per_s[0])
    return {
        "degrees": typed.degrees(space, other.plans, at).name,
        "of_best": share,
        "says": f"{share:.1%} of the tokens/s",
    }
