"""Where the seconds of a prefill and of a decode step go: parts that add up to TTFT and TPOT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from compiler.costs import traffic
from compiler.costs.case import Array, Case
from compiler.costs.exposed import Reaches, pass_seconds, timed
from compiler.costs.forward import Forward, busy_stages, one_token, whole_sequences
from compiler.costs.kernels import forward_seconds
from compiler.costs.memory import fitting
from compiler.costs.params import Counts
from compiler.costs.serve import of_pass, stage_seconds

if TYPE_CHECKING:
    from compiler.costs.calibration import Calibration


@dataclass(frozen=True)
class Detail:
    """Seconds by part, which add up to TTFT or TPOT; and the sequences of this length, prompt and answer together, that the
    memory of all ranks of an instance has room for.
    """

    parts: Mapping[str, float]
    largest_batch: int


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


def prefill(case: Case, held: Counts, reaches: Reaches, length: int, measured: Calibration | None = None) -> Detail:
    """All stages once, and the slowest once more for each further micro-batch: that is `pipeline_s`."""
    by_stage = _by_stage(case, held, reaches, whole_sequences(case, "prefill", length), measured)
    found = {name: float(values.sum()) for name, values in by_stage.items()}
    total = sum(by_stage.values(), 0 * case.running.layers)
    found["pipeline_s"] = float(np.maximum(case.micro_batches - 1, 0) * total.max())
    found["first_s"] = measured.engine.first_s if measured else 0.0
    return Detail(found, largest_batch(case, held, length))


def decode(case: Case, held: Counts, reaches: Reaches, context: int, measured: Calibration | None = None) -> Detail:
    """All stages once; `pipeline_s` is what a group of sequences waits for the ones before it on the slowest stage."""
    by_stage = _by_stage(case, held, reaches, one_token(case, context), measured)
    found = {name: float(values.sum()) for name, values in by_stage.items()}
    total = sum(by_stage.values(), 0 * case.running.layers)
    found["pipeline_s"] = max(0.0, float(busy_stages(case) * total.max() - total.sum()))
    return Detail(found, largest_batch(case, held, context))


def largest_batch(case: Case, held: Counts, length: float) -> int:
    """Sequences of an instance that its KV cache has room for at a time."""
    room = fitting(case, held, length) * case.adp
    return int(room) if np.isfinite(room) else 0


def _by_stage(
    case: Case, held: Counts, reaches: Reaches, forward: Forward, measured: Calibration | None
) -> dict[str, Array]:
    """Seconds of a micro-batch by part, arrays over stages."""
    none = 0 * case.running.layers
    whole = stage_seconds(case, held, reaches, forward, measured) + none
    if measured is not None:
        return _of_an_engine(case, held, reaches, forward, measured, whole)
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
    case: Case, held: Counts, reaches: Reaches, forward: Forward, measured: Calibration, whole: Array
) -> dict[str, Array]:
    """A part is what a pass takes less without its work; what no kernel and no collective takes is the host's."""
    from compiler.costs.engine import stage_pass

    work = stage_pass(case, held, reaches, measured.gpu, forward)
    found: dict[str, Array] = {}
    for part, names in OF_A_PASS.items():
        without = replace(work, **{item.name: 0 * case.running.layers for item in fields(work) if item.name in names})
        found[part] = whole - of_pass(case, without, forward, measured.engine)
    found["host_s"] = whole - sum(found.values(), 0 * whole)
    return found
