"""What a framework makes of the hardware: the constants of a training step, fitted to measured steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Software:
    """Factors on the parts of a step, 1 where nothing is known; seconds where the name says so.

    `products`, `grouped`, `core`, `elementwise`: on kernels. `tp`, `cp`, `ep`, `pp`, `dp`: the exposed part of a
    collective's time. `optimizer`: on the update's memory traffic. `kernel_s`: host's time to launch a kernel, `expert_s` what a layer with experts adds to it: routing and permutation.
    `micro_s` and `step_s`: of every micro-batch and every step.
    """

    products: float = 1.0
    grouped: float = 1.0
    core: float = 2.0
    elementwise: float = 1.25
    tp: float = 0.8
    cp: float = 0.3
    ep: float = 0.8
    pp: float = 0.5
    dp: float = 0.3
    fsdp: float = 1.0
    optimizer: float = 1.25
    kernel_s: float = 6e-6
    expert_s: float = 1e-3
    micro_s: float = 2e-3
    step_s: float = 2e-2
    scale: float = 1.0
