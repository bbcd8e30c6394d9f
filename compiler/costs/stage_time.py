"""Seconds of a pass of one micro-batch in serving on each stage, and of its parts."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import Calibration
from compiler.costs.case import Case
from compiler.costs.comm.collectives import direct
from compiler.costs.forward_pass import Pass, decode_seconds, fill_seconds, prompt_seconds, stage_pass
from compiler.costs.shape import Shape
from compiler.costs.software import Engine
from compiler.costs.work.forward import Forward, halved

OF_A_PASS = {
    "products_s": ("products",),
    "experts_s": ("grouped",),
    "attention_s": ("core",),
    "elementwise_s": ("elementwise",),
    "tp_s": ("tp",),
    "ep_s": ("ep",),
    "pp_s": ("pp",),
}
"""Parts of a pass: dense products, routed experts, the attention core, memory-bound kernels, and collectives."""


def stage_seconds(plan: Shape, forward: Forward, by: Calibration) -> tuple[Array, dict[str, Array]]:
    """Seconds of a micro-batch on each stage, with the collectives that show; and the same by part."""
    case, work = plan.case, stage_pass(plan, by.gpu, forward)
    whole, parts = of_pass(case, work, forward, by.engine), _parts(plan, work, forward, by.engine)
    overlapped = (forward.tokens >= 2) & case.workload.two_batch_overlap & case.model.moe
    if np.any(overlapped):
        half = halved(forward)
        beside = _beside(case, _parts(plan, stage_pass(plan, by.gpu, half), half, by.engine))
        parts = {name: np.where(overlapped, beside[name], value) for name, value in parts.items()}
    if case.workload.two_batch_overlap or np.any(_directly(plan, forward)):
        whole = sum(parts.values(), 0 * case.running.layers)
    return whole, parts


def of_pass(case: Case, work: Pass, forward: Forward, by: Engine) -> Array:
    """Seconds of a pass on each stage by an engine's constants."""
    if forward.phase == "decode":
        return decode_seconds(work, forward.sequences, by, share=1 / case.pp)
    return fill_seconds(work, by)


def _beside(case: Case, half: dict[str, Array]) -> dict[str, Array]:
    """Two batches in turns, one computing while the other exchanges tokens; only the first and the last layer's turn is alone."""
    alone = {name: value for name, value in half.items() if name != "ep_s"}
    compute, sent = sum(alone.values(), 0 * case.running.layers), half["ep_s"]
    ends = np.minimum(compute, sent) / np.maximum(case.running.layers, 1)
    shown = 2 * np.maximum(compute, sent) + ends - 2 * compute
    return {name: 2 * value for name, value in alone.items()} | {"ep_s": shown}


def _parts(plan: Shape, work: Pass, forward: Forward, by: Engine) -> dict[str, Array]:
    """A part is what a GPU takes for its work alone; what a pass takes beyond the GPU is the host's."""
    case, none = plan.case, 0 * plan.case.running.layers

    def busy(work: Pass) -> Array:
        return of_pass(case, work, forward, by) if forward.phase == "decode" else prompt_seconds(work, by)

    listed = [item.name for item in fields(work) if any(item.name in names for names in OF_A_PASS.values())]
    idle, found = busy(replace(work, **dict.fromkeys(listed, none))), {}
    for part, names in OF_A_PASS.items():
        others = dict.fromkeys([name for name in listed if name not in names], none)
        found[part] = np.maximum(busy(replace(work, **others)) - idle, 0.0) + none
    whole = of_pass(case, work, forward, by)
    found["host_s"] = np.maximum(whole - sum(found.values(), none), 0.0)
    pairs = forward.routed * case.model.num_experts_per_tok * case.workload.imbalance
    sent = case.running.moe * direct(pairs * case.model.hidden_size, case.ep, case.hardware)
    return found | {"ep_s": np.where(_directly(plan, forward), sent, found["ep_s"])}


def _directly(plan: Shape, forward: Forward) -> NDArray[np.bool_]:
    """Where tokens are sent by low-latency kernels: in decode, where a plan asks for it and its EP groups leave an NVLink domain."""
    asked = plan.case.workload.low_latency_dispatch and forward.phase == "decode" and plan.case.model.moe
    return np.asarray((array(plan.reaches["ep"].domains) > 1) if asked else False)
