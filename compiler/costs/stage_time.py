"""Seconds of a pass of one micro-batch in serving on each stage, and of its parts."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from compiler.costs import low_latency, traffic
from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.exposed import Reaches, pass_seconds, timed
from compiler.costs.forward import Forward, halved
from compiler.costs.kernels import forward_seconds
from compiler.costs.params import Counts

if TYPE_CHECKING:
    from compiler.costs.calibration import Calibration
    from compiler.costs.forward_pass import Pass
    from compiler.costs.software import Engine

OF_A_PASS = {
    "products_s": ("products",),
    "experts_s": ("grouped",),
    "attention_s": ("core",),
    "elementwise_s": ("elementwise",),
    "tp_s": ("tp", "wire", "calls"),
    "ep_s": ("ep",),
    "pp_s": ("pp",),
}
"""Parts by measured curves: dense products, routed experts, the attention core, memory-bound kernels, and collectives."""


def stage_seconds(case: Case, held: Counts, reaches: Reaches, forward: Forward, measured: Calibration | None) -> Array:
    """Seconds of a micro-batch on each stage, with the collectives that show."""
    if case.workload.two_batch_overlap or low_latency.applies(case, forward, reaches):
        return sum(by_stage(case, held, reaches, forward, measured).values(), 0 * case.running.layers)
    return _straight(case, held, reaches, forward, measured)


def by_stage(
    case: Case, held: Counts, reaches: Reaches, forward: Forward, measured: Calibration | None
) -> dict[str, Array]:
    """The same by part, arrays over stages."""
    overlapped = case.workload.two_batch_overlap and case.model.moe and bool(np.all(forward.tokens >= 2))
    these = halved(forward) if overlapped else forward
    found = _parts(case, held, reaches, these, measured)
    if low_latency.applies(case, forward, reaches):
        found["ep_s"] = low_latency.seconds(case, these)
    return _beside(case, found) if overlapped else found


def _beside(case: Case, half: dict[str, Array]) -> dict[str, Array]:
    """Two batches in turns, one computing while the other exchanges tokens; only the first and the last layer's turn is alone."""
    alone = {name: value for name, value in half.items() if name != "ep_s"}
    compute, sent = sum(alone.values(), 0 * case.running.layers), half["ep_s"]
    ends = np.minimum(compute, sent) / np.maximum(case.running.layers, 1)
    shown = 2 * np.maximum(compute, sent) + ends - 2 * compute
    return {name: 2 * value for name, value in alone.items()} | {"ep_s": shown}


def _straight(case: Case, held: Counts, reaches: Reaches, forward: Forward, measured: Calibration | None) -> Array:
    """One batch; everything that is not hidden, one behind the other."""
    if measured is not None:
        from compiler.costs.forward_pass import stage_pass

        return of_pass(case, stage_pass(case, held, reaches, measured.gpu, forward), forward, measured.engine)
    compute = forward_seconds(case, held, forward)
    flows = timed(traffic.passing(case, forward), reaches, case.hardware)
    return compute.total + pass_seconds(flows, compute.total, compute.core, backward=False)


def of_pass(case: Case, work: Pass, forward: Forward, by: Engine) -> Array:
    """Seconds of a pass on each stage by an engine's constants."""
    from compiler.costs.forward_pass import decode_seconds, fill_seconds

    if forward.phase == "decode":
        return decode_seconds(work, forward.sequences, by, share=1 / case.pp)
    return fill_seconds(work, by)


def _parts(
    case: Case, held: Counts, reaches: Reaches, forward: Forward, measured: Calibration | None
) -> dict[str, Array]:
    none = 0 * case.running.layers
    if measured is not None:
        return _of_an_engine(case, held, reaches, forward, measured)
    compute = forward_seconds(case, held, forward)
    flows = timed(traffic.passing(case, forward), reaches, case.hardware)
    streamed = forward.phase == "decode"  # there the roofline reads weights and cache in one stream
    found = {"weights_and_cache_s" if streamed else "products_s": compute.gemms}
    found |= {"attention_s": compute.core, "elementwise_s": compute.rest}
    found = {name: value + none for name, value in found.items()}
    for part, kinds in (("tp_s", ("tp", "cp")), ("ep_s", ("ep", "etp")), ("pp_s", ("pp",))):
        mine = [item for item in flows if item.flow.kind in kinds]
        found[part] = none + pass_seconds(mine, compute.total + none, compute.core + none, backward=False)
    return found


def _of_an_engine(
    case: Case, held: Counts, reaches: Reaches, forward: Forward, measured: Calibration
) -> dict[str, Array]:
    """A part is what a GPU takes for its work alone; what a pass takes beyond the GPU is the host's."""
    from compiler.costs.forward_pass import prompt_seconds, stage_pass

    by, none = measured.engine, 0 * case.running.layers
    work = stage_pass(case, held, reaches, measured.gpu, forward)
    whole = of_pass(case, work, forward, by) + none
    found: dict[str, Array] = {}

    def busy(work: Pass) -> Array:
        return of_pass(case, work, forward, by) if forward.phase == "decode" else prompt_seconds(work, by)

    listed = [item.name for item in fields(work) if any(item.name in names for names in OF_A_PASS.values())]
    idle = busy(replace(work, **dict.fromkeys(listed, none)))
    for part, names in OF_A_PASS.items():
        others = dict.fromkeys([name for name in listed if name not in names], none)
        found[part] = np.maximum(busy(replace(work, **others)) - idle, 0.0) + none
    found["host_s"] = np.maximum(whole - sum(found.values(), 0 * whole), 0.0)
    return found
