"""A forward pass of a serving engine: its work by kind, and the seconds that an engine makes of it.

The work does not depend on the engine's constants; arrays of any shape, one entry a plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.calibration import GpuCalibration
from compiler.costs.case import Case
from compiler.costs.comm.timed import Timed, timed
from compiler.costs.constants import KERNELS_OF_LAYER, MLA_KERNELS
from compiler.costs.shape import Shape
from compiler.costs.software import Engine
from compiler.costs.work import traffic
from compiler.costs.work.forward import Forward
from compiler.costs.work.gemms import gemms
from compiler.costs.work.parts import Parts, parts
from compiler.frozen import dataclass
from compiler.specs.weights import WIDE

PARTS = {"tp": "tp", "cp": "tp", "ep": "ep", "etp": "ep", "pp": "pp"}
"""Kind of group -> the part of a pass that its traffic is."""


@dataclass(frozen=True, kw_only=True)
class Pass(Parts):
    """A forward pass through all stages: seconds at the curves' own speed; `launches`, `others` and `experts` are counts.

    `others`: of the kernels, those that no curve has (attention's and products' have). `eager` is above 0 where no graph was captured for a step of decode.
    """

    others: Array
    experts: Array
    latent: Array
    tp: Array
    ep: Array
    pp: Array
    eager: Array | float = 0.0


def one_pass(plan: Shape, gpu: GpuCalibration, forward: Forward) -> Pass:
    """Summed over stages."""
    each = stage_pass(plan, gpu, forward)
    return Pass(**{name: np.asarray(np.sum(value, axis=-1)) for name, value in vars(each).items()})


def stage_pass(plan: Shape, gpu: GpuCalibration, forward: Forward) -> Pass:
    """Arrays over stages. Ranks of TP hold the same tokens, so that only attention DP needs to dispatch them to experts: else
    the all_reduce that TP makes anyway joins what they computed.
    """
    case, kernels = plan.case, parts(plan, forward, gpu)
    flows = timed(traffic.passing(case, forward), plan, gpu)
    none = 0 * case.running.layers
    beside = MLA_KERNELS * _latents(case) + none

    spent = {part: sum(each, none) + none for part, each in _by_part(flows).items()}
    return Pass(
        **vars(replace(kernels, launches=kernels.launches + beside + _narrowed(case))),
        others=(KERNELS_OF_LAYER - 1) * case.running.layers + beside,
        experts=case.running.moe + none,
        latent=_latents(case) + none,
        tp=spent["tp"],
        ep=spent["ep"] * (case.adp > 1),
        pp=spent["pp"],
        eager=(forward.phase == "decode") * (forward.sequences > case.graph_batch) + none,
    )


def _by_part(flows: Sequence[Timed]) -> dict[str, list[Array]]:
    """Seconds of each flow. Raises KeyError for groups that no part of a pass is spent in."""
    found: dict[str, list[Array]] = {part: [] for part in PARTS.values()}
    for item in flows:
        found[PARTS[item.flow.kind]].append(item.flow.forward * item.call_s)
    return found


def _narrowed(case: Case) -> Array:
    """Kernels that quantise a product's input, which a product's own curve has."""

    def quantises(kind: str) -> bool:
        return case.products(kind) not in WIDE

    narrow = sum((item.count for item in gemms(case) if quantises(item.role)), 0 * case.running.layers)
    return np.asarray(narrow + quantises("experts") * case.running.moe)


def _latents(case: Case) -> Array:
    """Layers whose attention works on latents."""
    return case.running.sum(lambda block: float(bool(block.latent)))


def decode_seconds(work: Pass, batch: Array, by: Engine, share: Array | float = 1.0) -> Array:
    """One decode step, or a stage's part of it: `share` of what every step takes anyway.

    Without a captured graph the host launches kernels beside the GPU, as in prefill.
    """
    kernels = work.products + by.d_grouped * work.grouped + work.core
    kernels = kernels + by.d_elementwise * work.elementwise
    launched = by.p_kernel_s * work.launches + by.p_expert_s * work.experts
    kernels = np.hypot(kernels, np.minimum(work.eager, 1.0) * launched)
    host = by.d_kernel_s * work.others + by.d_expert_s * work.experts
    host = host + share * (by.d_step_s + by.d_request_s * batch)
    return np.asarray(by.decode * (kernels + host) + by.d_tp * work.tp + by.d_ep * work.ep + work.pp)


def prompt_seconds(work: Pass, by: Engine) -> Array:
    """One prompt on every attention-DP rank, beyond what a step takes anyway."""
    kernels = work.products + by.p_grouped * work.grouped + work.core
    kernels = kernels + by.p_elementwise * work.elementwise
    return np.asarray(by.prefill * kernels + by.p_tp * work.tp + by.p_ep * work.ep + work.pp)


def chunk_seconds(work: Pass, by: Engine) -> Array:
    """What each chunk of prompts takes anyway: its kernels are launched one by one, as their sizes are never the same."""
    return np.asarray(
        by.p_step_s + by.p_kernel_s * work.launches + by.p_expert_s * work.experts + by.p_mla_s * work.latent
    )


def fill_seconds(work: Pass, by: Engine, steps: Array | float = 1.0, meet: Array | float = 1.0) -> Array:
    """Prompts in `steps` chunks: the host launches beside the GPU, so that the slower of both counts (a smooth maximum).

    `meet`: how much longer the GPU takes because attention-DP ranks wait for each other.
    """
    return np.asarray(np.hypot(meet * prompt_seconds(work, by), steps * chunk_seconds(work, by)))
