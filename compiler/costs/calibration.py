"""Constants of GPUs and software as frozen values, measured or assumed: one model of time takes either.

Fractions are of the hardware's own peak and bandwidth, so that a GPU without measurements can borrow its nearest kin's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field, replace

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.comm.algorithms import ALGORITHMS, Algorithm
from compiler.costs.constants import ASSUMED_SHARPNESS, COLLECTIVE_LAUNCH_S, KERNEL_LAUNCH_S, scale_up_efficiency
from compiler.costs.grid import Grid
from compiler.costs.software import Engine, Software
from compiler.frozen import dataclass
from compiler.specs.fields import REQUIRED, between, numbers
from compiler.specs.hardware import Hardware, Nvlink
from compiler.specs.limits import BYTES, RANKS


@dataclass(frozen=True)
class KernelCurve:
    """seconds = launch_s + (arithmetic^q + memory^q)^(1/q), q = sharpness of the roofline's edge.

    `half_rows`: rows of a matrix (tokens of an expert) at which arithmetic is half as efficient as with many.
    """

    efficiency: float = between(1e-3, 10, REQUIRED)
    memory_efficiency: float = between(1e-3, 10, REQUIRED)
    launch_s: float = between(0, 1, REQUIRED)
    sharpness: float = between(0.1, 100, REQUIRED)
    half_rows: float = between(0, 1e6, 0.0)

    def seconds(self, arithmetic: Array, moved: Array, rows: Array, *_sizes: Array) -> Array:
        """Seconds at peak of the arithmetic and of the memory traffic -> seconds that it takes. 0 stays 0."""
        busy = arithmetic * (1 + self.half_rows / np.maximum(rows, 1e-9)) / self.efficiency
        q = self.sharpness
        time = (busy**q + (moved / self.memory_efficiency) ** q) ** (1 / q)
        return np.where(time > 0, time + self.launch_s, 0.0)


@dataclass(frozen=True)
class Measured:
    """A curve of an engine's own kernel, and what it misses over the sizes of a call."""

    curve: KernelCurve
    grid: Grid

    @property
    def launch_s(self) -> float:
        return self.curve.launch_s

    @property
    def efficiency(self) -> float:
        return self.curve.efficiency

    def seconds(self, arithmetic: Array, moved: Array, rows: Array, *sizes: Array) -> Array:
        """As of a curve, times what it misses."""
        return self.curve.seconds(arithmetic, moved, rows) * self.grid.factor(*sizes)


Kernel = KernelCurve | Measured


@dataclass(frozen=True)
class LinkCurve:
    """seconds = (latency_s + hop_s*(n-1) + wire/b + sqrt(ramp_s*wire/b)) * shape, b = efficiency*(1 - pair_loss/n)*bandwidth.

    Groups of `switched_ranks` or more need `switched` of the time on the wire (reduction in the switch). `shape` is a
    factor at messages of `sizes` bytes, straight in the logarithms between them and level beyond.
    """

    latency_s: float = between(0, 1, REQUIRED)
    hop_s: float = between(0, 1, REQUIRED)
    efficiency: float = between(1e-3, 10, REQUIRED)
    pair_loss: float = between(0, 1.9, REQUIRED)
    ramp_s: float = between(0, 1, REQUIRED)
    switched: float = between(1e-3, 10, 1.0)
    switched_ranks: int = between(1, RANKS, 6)
    sizes: tuple[float, ...] = numbers(1, BYTES, 256, ())
    shape: tuple[float, ...] = numbers(1e-3, 1e3, 256, ())

    def seconds(self, message: Array, wire_bytes: Array, ranks: Array, bandwidth: Array | float) -> Array:
        """Arrays that broadcast; `message` is a whole call's bytes, `wire_bytes` what a rank sends of them."""
        spent = wire_bytes / (bandwidth * self.efficiency * (1 - self.pair_loss / ranks))
        spent = spent * np.where(ranks >= self.switched_ranks, self.switched, 1.0)
        time = self.latency_s + self.hop_s * (ranks - 1) + spent + np.sqrt(self.ramp_s * spent)
        if not self.sizes:
            return time
        return time * np.exp(np.interp(np.log(np.maximum(message, 1)), np.log(self.sizes), np.log(self.shape)))

    def in_the_place_of(self, passes: float) -> LinkCurve:
        """For another operation with so many times the passes around the ring: as many steps, none of them in the switch."""
        return replace(self, hop_s=self.hop_s * passes, ramp_s=self.ramp_s * passes, switched=1.0)


@dataclass(frozen=True)
class GpuCalibration:
    """Curves of one GPU: kernels by precision, links by operation within an NVLink domain. Those of a serving engine's own kernels
    have two more: `core`, by phase and what attention it is, and its all_reduce, `joined`.
    """

    name: str = ""
    gemm: Mapping[str, Kernel] = field(default_factory=dict)
    grouped: Mapping[str, Kernel] = field(default_factory=dict)
    links: Mapping[str, LinkCurve] = field(default_factory=dict)
    core: Mapping[str, Kernel] = field(default_factory=dict)
    joined: Kernel | None = None

    def kernel(self, curves: Mapping[str, Kernel], precision: str, weight_bytes: float = math.inf) -> Kernel:
        """The curve of a precision, or of the nearest one that was measured, or of any. Weights narrower than what they are
        multiplied in are widened on the way, by kernels of their own.
        """
        narrow = WIDENED.get(precision, ()) if weight_bytes < 1 else ()
        return next(curves[key] for key in (*narrow, *NEAREST[precision], *curves) if key in curves)

    def without_switch(self) -> GpuCalibration:
        """With every reduction done by the GPUs themselves."""
        return replace(self, links={op: replace(curve, switched=1.0) for op, curve in self.links.items()})


NEAREST: Mapping[str, tuple[str, ...]] = {
    "fp32": ("bf16",),
    "bf16": ("bf16",),
    "fp16": ("bf16",),
    "fp8": ("fp8", "fp8_block", "bf16"),
    "fp8_block": ("fp8_block", "fp8", "bf16"),
    "mxfp8": ("fp8_block", "fp8", "bf16"),
    "fp4": ("nvfp4", "w4a16", "mxfp4", "bf16"),
    "nvfp4": ("nvfp4", "w4a16", "mxfp4", "bf16"),
    "int8": ("fp8", "fp8_block", "bf16"),
    "mxfp4": ("w4a8", "mxfp4", "w4a16", "bf16"),
}
"""Names of measured precisions for each precision of a workload, best first."""

WIDENED: Mapping[str, tuple[str, ...]] = {
    "bf16": ("w4a16",),
    "fp16": ("w4a16",),
    "fp8": ("w4a8",),
    "fp8_block": ("w4a8",),
}
"""The same of weights of four bits, which are widened for their products."""


@dataclass(frozen=True)
class Calibration:
    """What a plan's projection uses. `unseen`: what of the plan no measurement is near to, in words."""

    gpu: GpuCalibration
    software: Software = field(default_factory=Software)
    engine: Engine = field(default_factory=Engine)
    unseen: tuple[str, ...] = ()


def assumed_curves(hardware: Hardware) -> GpuCalibration:
    """Curves of a GPU that nobody measured: its file's efficiencies on kernels, NCCL's usual ones on NVLink, whose latency a tree over
    the whole domain meets (an all_to_all meets it once, and something for each peer).
    """
    gpu, nvlink = hardware.gpu, hardware.nvlink
    kernel = KernelCurve(gpu.compute_efficiency, gpu.memory_efficiency, KERNEL_LAUNCH_S, ASSUMED_SHARPNESS)
    return GpuCalibration(
        name=hardware.name,
        gemm={"bf16": kernel},
        links={op: _assumed_link(nvlink, op, how) for op, how in ALGORITHMS.items()},
    )


def completed(gpu: GpuCalibration, hardware: Hardware) -> GpuCalibration:
    """With assumed links for operations that nothing near to them was measured for."""
    known, assumed = gpu.links, assumed_curves(hardware).links
    missing = {op: assumed[op] for op, how in ALGORITHMS.items() if not any(name in known for name in how.measured_as)}
    return replace(gpu, links={**known, **missing})


def _assumed_link(nvlink: Nvlink, op: str, how: Algorithm) -> LinkCurve:
    peers = max(nvlink.domain_gpus - 1, 1)
    steps = how.passes * math.ceil(math.log2(nvlink.domain_gpus)) / peers
    once, each = (0.0, steps * nvlink.latency) if how.trees else (nvlink.latency, how.peer_s)
    return LinkCurve(COLLECTIVE_LAUNCH_S + once, each, scale_up_efficiency(nvlink, op), pair_loss=0.0, ramp_s=0.0)
