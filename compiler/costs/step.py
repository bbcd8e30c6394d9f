"""A training step: the work of every stage, arrays of shape [stages] or, of plans with one schedule, [plans, stages]; and what a
framework makes of it. The work is free of the framework's constants, which are fitted to many steps at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from compiler.costs.arrays import Array, array, exceeding
from compiler.costs.calibration import GpuCalibration
from compiler.costs.case import Case
from compiler.costs.comm.timed import Timed, timed
from compiler.costs.constants import CORE_BACKWARD, EDGE, SCORES_BACKWARD, SOFT_EDGE
from compiler.costs.pipeline import closed, flight
from compiler.costs.shape import Shape
from compiler.costs.shown import by_kind, shown
from compiler.costs.software import Software
from compiler.costs.trained import share, trained
from compiler.costs.work import muon, states, traffic
from compiler.costs.work.forward import whole_sequences
from compiler.costs.work.memory import update_bytes
from compiler.costs.work.params import beside, rebuilt
from compiler.costs.work.parts import Parts, parts
from compiler.frozen import dataclass

Waiting = Callable[[Array, Array], Array]
"""Seconds of a micro-batch forward and backward on each rank -> those that a step lasts beyond the slowest rank's own work."""


@dataclass(frozen=True, kw_only=True)
class Work(Parts):
    """Seconds at the curves' own speed, the parts of a forward pass of a micro-batch among them; `ahead` and `back`: collectives of a
    micro-batch by kind; `gathered_*`: of sharded parameters; `synchronised`, `updated`, `orthogonal` (Muon's products): of a step. `experts` and `waits`: counts of
    layers with experts, and of those that keep the host busy beyond their kernels.
    `weights`: 1 where backward has products for the gradients of weights. `rebuilt`: products of the pieces that backward makes again; `shared`: those of shared experts that hide a dispatch; `delayed`: 1 where the
    gradients of weights hide it. `micro_batches` and `vpp`: one a plan, shape [] or [plans].
    """

    schedule: str
    accumulated: Array
    experts: Array
    waits: Array
    ahead: dict[str, Array]
    back: dict[str, Array]
    gathered_ahead: Array
    gathered_back: Array
    synchronised: Array
    updated: Array
    again: Array
    again_core: Array
    again_experts: Array
    weights: Array
    rebuilt: Array
    shared: Array
    delayed: Array
    orthogonal: Array
    micro_batches: Array
    vpp: Array

    def on_ranks(self) -> Work:
        """The work of ranks in the place of that of stages: under DualPipe one runs its own stage and the mirrored one in turns."""
        return self if self.schedule != "dualpipe" else self.turned(closed.mirrored)

    def turned(self, change: Callable[[Array], Array]) -> Work:
        """With every array over stages changed alike."""

        def one(value: Any) -> Any:
            return {key: change(part) for key, part in value.items()} if isinstance(value, dict) else change(value)

        return replace(self, **{name: one(getattr(self, name)) for name in BY_STAGE})


BY_STAGE = tuple(item.name for item in fields(Work) if item.name not in ("schedule", "micro_batches", "vpp"))


def work(plan: Shape, gpu: GpuCalibration) -> tuple[Work, list[Timed]]:
    """The work of a plan, or of many, and its collectives."""
    case, held = plan.case, plan.held
    forward = whole_sequences(case, "train", case.workload.longest)
    kernels = parts(plan, forward, gpu)
    passes = timed(traffic.passing(case, forward), plan, gpu)
    syncs = timed(traffic.synchronising(case, held), plan, gpu)
    none, graphs = 0 * case.running.layers, case.workload.cuda_graphs
    ahead, back = by_kind(passes, none)
    own, beside_it = trained(case, held), kernels.permuted * _beside(case)
    kernels = replace(kernels, launches=kernels.launches * (graphs == "none"), permuted=kernels.permuted - beside_it)
    ahead["beside"], back["beside"] = ahead["beside"] + beside_it, back["beside"] + 2 * beside_it
    found = Work(
        **vars(kernels),
        schedule=flight.schedule(case),
        accumulated=states.accumulated(case) * (own.dense_gemm + own.moe_gemm) / case.hardware.gpu.memory_bandwidth
        + none,
        experts=case.running.moe * (graphs != "step") + none,
        waits=_waits(case) * (graphs != "step") + none,
        ahead=ahead,
        back=back,
        gathered_ahead=sum((item.flow.forward * item.call_s for item in syncs), none),
        gathered_back=sum((item.flow.backward * item.call_s for item in syncs), none),
        synchronised=sum((item.flow.step * item.call_s for item in syncs), none),
        updated=update_bytes(case, held) / case.hardware.gpu.memory_bandwidth,
        again=none + (case.workload.recompute == "full"),
        again_core=none + ("core_attn" in case.rebuilt),
        again_experts=none + ("moe" in case.rebuilt),
        weights=none + share(case),
        rebuilt=kernels.products * rebuilt(case) / np.maximum(held.dense_gemm, 1),
        shared=kernels.products * beside(case) / np.maximum(held.dense_gemm, 1),
        delayed=none + case.workload.delayed_weight_gradients,
        orthogonal=muon.seconds(case, gpu),
        micro_batches=case.of_a_plan(case.micro_batches),
        vpp=case.of_a_plan(case.vpp),
    )
    return found, [*passes, *syncs]


def _beside(case: Case) -> bool:
    """Whether copies of tokens are made by the dispatch itself, beside another micro-batch (HybridEP and DeepEP permute as they send)."""
    return case.workload.overlapped_dispatch and case.workload.dispatch == "deduplicated"


def _waits(case: Case) -> Array:
    """Layers where the host waits for counts of tokens, or runs the pieces of two micro-batches in turns."""
    chosen = case.workload
    return ((chosen.dispatch == "alltoall") + float(chosen.overlapped_dispatch)) * case.running.moe


@dataclass(frozen=True)
class Stages:
    """Seconds of one micro-batch, forward and backward together, arrays over stages."""

    kernels: Array
    exposed: Array
    waiting: Array

    @property
    def total(self) -> Array:
        return self.kernels + self.exposed + self.waiting


def stages(work: Work, by: Software) -> Stages:
    """Kernels on the GPU; the collectives that show; and what the host's launches or sharded parameters add to both."""
    products = by.products * work.products + by.grouped * work.grouped
    core, scores, rest = by.core * work.core, by.scores * work.scores, by.elementwise * work.elementwise
    rest = rest + by.permuted * work.permuted
    once = products + core + scores + rest
    backward = (1 + work.weights) * products + CORE_BACKWARD * core + SCORES_BACKWARD * scores + 2 * rest
    backward = backward + work.again * once + work.again_core * (core + scores)
    backward = backward + work.again_experts * (by.grouped * work.grouped + by.permuted * work.permuted)
    backward = backward + by.products * work.rebuilt + by.accumulated * work.accumulated
    shared, weights = by.products * work.shared, work.delayed * work.weights * products
    shown_ahead = shown(by, work.ahead, shared, 0 * once)
    shown_back = shown(by, work.back, (1 + work.weights) * shared, weights)
    waits = exceeding(by.fsdp * work.gathered_ahead, once + shown_ahead, EDGE)
    waits = waits + exceeding(by.fsdp * work.gathered_back, backward + shown_back, EDGE)
    host = by.kernel_s * work.launches + by.expert_s * work.experts + by.wait_s * work.waits
    host = host * (3 + work.again)
    kernels, exposed = once + backward, shown_ahead + shown_back
    return Stages(kernels, exposed, waits + exceeding(host, kernels + exposed + waits, EDGE))


@dataclass(frozen=True)
class Step:
    """Seconds of a step by part; they add up to it."""

    kernels_s: Array
    exposed_s: Array
    waiting_s: Array
    bubble_s: Array
    gradients_s: Array
    optimizer_s: Array
    fixed_s: Array

    @property
    def total(self) -> Array:
        names = ("kernels", "exposed", "waiting", "bubble", "gradients", "optimizer", "fixed")
        total: Array = sum((getattr(self, f"{name}_s") for name in names), array(0))
        return total


def passes(work: Work, by: Software) -> tuple[Array, Array]:
    """Seconds of one micro-batch on each stage, forward and backward."""
    return _both(work, stages(work, by).total)


def _both(work: Work, whole: Array) -> tuple[Array, Array]:
    """Forward is one part of three, or of four where all is computed once more."""
    forward = whole / (3 + work.again)
    return forward, whole - forward


def step(work: Work, by: Software, waiting: Waiting | None = None) -> Step:
    """A step: the slowest rank's micro-batches, what ranks wait for each other (in closed form unless `waiting` says it), and what
    happens once.
    """
    own = stages(work, by)
    forward, backward = _both(work, own.total)
    if waiting is None:
        bubble = closed.bubble(work.schedule, forward, backward, work.vpp, work.micro_batches)
    else:
        bubble = waiting(forward, backward)
    ranks = work.on_ranks()
    each = own if ranks is work else stages(ranks, by)
    total, count, scale = each.total, work.micro_batches, by.scale
    slowest = total.argmax(axis=-1)[..., None]

    def at_slowest(values: Array) -> Array:
        return np.take_along_axis(values * np.ones_like(total), slowest, axis=-1)[..., 0]

    synced = exceeding(by.dp * ranks.synchronised.max(axis=-1), by.window * total.max(axis=-1), SOFT_EDGE)
    return Step(
        kernels_s=scale * count * at_slowest(each.kernels),
        exposed_s=scale * count * at_slowest(each.exposed),
        waiting_s=scale * count * at_slowest(each.waiting),
        bubble_s=scale * bubble,
        gradients_s=scale * synced,
        optimizer_s=scale * (by.optimizer * ranks.updated + by.products * ranks.orthogonal).max(axis=-1),
        fixed_s=scale * (by.micro_s * count + by.step_s),
    )
