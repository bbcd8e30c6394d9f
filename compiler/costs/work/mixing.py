"""Seconds in which a pass of a server has tokens meet each other, block by block, by the curves of its engine's kernels."""

from __future__ import annotations

import numpy as np

from compiler.blocks.block import Block, local
from compiler.blocks.recurrent import INPUT_BYTES
from compiler.costs.arrays import Array, array, ceil_div
from compiler.costs.calibration import GpuCalibration, Kernel
from compiler.costs.case import Case
from compiler.costs.constants import WIDE_HEAD
from compiler.costs.work import flops, sparse
from compiler.costs.work.forward import Forward
from compiler.costs.work.memory import cached_bytes

HEADS = (64, 128, 256)
"""Widths of a head that kernels were measured at."""

LONGEST_WINDOW = 1024
"""Tokens of the longest window that kernels were measured at but for a few calls."""

KERNEL = 4
"""Tokens that measured convolutions are over, as those of all models with a state are."""


def mixing(case: Case, forward: Forward, gpu: GpuCalibration) -> Array:
    """Arrays over stages. A kind of block without a curve takes its roofline, which narrow heads do not reach."""
    peak, speed = case.hardware.gpu, flops.peak_flops(case.hardware.gpu, case.wide)
    found = 0.0 * case.running.layers
    for block, count in case.running.blocks:
        if not block.mixes:
            continue
        mixed = sparse.mixed if block.kind == sparse.KIND else flops.mixed
        work = forward.tokens * mixed(block, case.tp, forward) / speed
        moved = _read(case, block, forward) / peak.memory_bandwidth
        curve = kernel(gpu, block, forward.phase, case.kv_bytes)
        if curve is None:
            narrow = np.sqrt(WIDE_HEAD / min(WIDE_HEAD, max(1.0, _width(block))))
            found = found + count * np.maximum(narrow * work, moved)
        else:
            each = curve.seconds(work, moved, forward.tokens, *sizes(block, case.tp, forward))
            found = found + count * np.where(forward.tokens > 0, each, 0.0)
        found = found + count * _convolution(case, block, forward, gpu)
    return np.asarray(found)


def _convolution(case: Case, block: Block, forward: Forward, gpu: GpuCalibration) -> Array:
    """Of a block with a state: a kernel before its scan's, which nobody counts where it was not measured."""
    curve = gpu.core.get(convolution(forward.phase, block.kind))
    if curve is None:
        return 0.0 * case.tp
    channels, count = local(block.convolved, case.tp), forward.sequences
    moved = convolved_bytes(channels, forward.tokens, count) / case.hardware.gpu.memory_bandwidth
    each = curve.seconds(0 * moved, moved, forward.tokens, _asking(forward), count * channels)
    return np.where(forward.tokens > 0, each, 0.0)


def convolved_bytes(channels: Array, tokens: Array, sequences: Array) -> Array:
    """Channels of each token in and out, and the last inputs of each sequence in and out."""
    return 2 * INPUT_BYTES * channels * (tokens + KERNEL * sequences)


def cache_bytes(case: Case, forward: Forward) -> Array:
    """Caches and states that a pass reads, arrays over stages."""
    return case.running.sum(lambda block: _read(case, block, forward))


def _read(case: Case, block: Block, forward: Forward) -> Array:
    """Of a block: what is cached, and the state of a sequence, which is read and written again; of a prompt once."""
    state = 2 * local(block.state, case.tp)
    return np.asarray(forward.sequences * (cached_bytes(case, block, forward.read) + state))


def kernel(gpu: GpuCalibration, block: Block, phase: str, kv_bytes: float) -> Kernel | None:
    """The curve of a block; None where nobody measured its kind."""
    what = form(block)
    plain = what.removesuffix("_window")
    names = (named(phase, kind, narrow=narrow) for kind in (what, plain) for narrow in (kv_bytes <= 1, False))
    return next((gpu.core[name] for name in names if name in gpu.core), None)


def form(block: Block) -> str:
    """What kernels are told apart by: the kind of attention, or the width of its heads."""
    if block.kind != "attention" or len(block.scores) != 1:
        return block.kind if block.kind != "attention" else "sparse"
    width = min(HEADS, key=lambda width: abs(width - _width(block)))
    return windowed(width, limited=_windowed(block))


def _windowed(block: Block) -> bool:
    """Whether attention is as that of kernels over a window; over a long one it is as over that many tokens."""
    limit = block.scores[0].limit
    return limit is not None and limit <= LONGEST_WINDOW


def windowed(width: int, *, limited: bool) -> str:
    """Heads of a width, where attention goes as far back as it may, or over a window."""
    return f"{width}{'_window' if limited else ''}"


def named(phase: str, what: str, *, narrow: bool) -> str:
    """What calibration files call a curve: by phase, form and how wide its cache is."""
    phase = "decode" if phase == "decode" else "prefill"
    return f"{phase}_{what}" + "_fp8" * narrow


def convolution(phase: str, kind: str) -> str:
    """The same of the convolution before a kind's scan."""
    return named(phase, f"{kind}_convolution", narrow=False)


def sizes(block: Block, tp: Array, forward: Forward) -> tuple[Array, ...]:
    """Of a call: tokens of a sequence, within a window or not (in prefill its new ones), sequences times heads of keys or of queries, and queries of a
    head of keys; of latents, which all heads share, sequences and heads; of a scan its new tokens, and sequences times heads.
    """
    if block.kind == sparse.KIND:
        return sparse.sizes(block, tp, forward)
    if not block.scores:
        return _asking(forward), forward.sequences * ceil_div(block.scan[0].pieces, tp)
    score, decode = block.scores[0], forward.phase == "decode"
    heads, count = ceil_div(score.heads, tp), forward.sequences
    within = np.inf if _windowed(block) else float(score.limit or np.inf)
    length = np.minimum(forward.met(None) if decode else _asking(forward), within)
    if block.kind != "attention" or not block.caches:
        return array(length), array(count), heads
    keys = ceil_div(block.caches[0].parts[0].pieces, tp)
    return array(length), count * (keys if decode else heads), heads / keys


def _asking(forward: Forward) -> Array:
    """New tokens of a sequence."""
    return np.asarray(forward.tokens / np.maximum(forward.sequences, 1e-9))


def _width(block: Block) -> float:
    return max((score.width / 2 for score in block.scores), default=float(WIDE_HEAD))
