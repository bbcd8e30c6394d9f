"""Kernels of blocks that keep a state: the rule or scan, and the convolution before it, each a curve of its own.

A block's time is the sum of both. Most of the sampled points have one kernel of a shape and not the other, so that curves are
added, and not rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from benchmarks.rows.operation import Axes, Operation, Table, steps, timed
from benchmarks.rows.record import Row
from compiler.blocks.recurrent import INPUT_BYTES, STATE_BYTES
from compiler.costs.arrays import Array
from compiler.costs.work.flops import peak_flops
from compiler.costs.work.mixing import KERNEL, convolution, convolved_bytes, named
from compiler.specs.hardware import Hardware
from compiler.speed.fit.grids import Calls

FUSED = ("fused_kda_decode", "kda_fused_decode")
"""Kernels of both, within a few per cent of their sum; few were timed."""

PHASES = {"context": "prefill", "generation": "decode"}
"""Of checking drafts few engines were timed."""

RULE: Mapping[str, Axes] = {
    "prefill": ((0, 4, 6, 8, 10, 12, 15), steps(1, 11, 2)),
    "decode": ((0,), steps(1, 17, 2)),
}
CONVOLUTION: Mapping[str, Axes] = {
    "prefill": ((0, 4, 7, 9, 10, 11, 12, 13, 15), steps(9, 21, 2)),
    "decode": ((0,), steps(9, 25, 2)),
}
"""Knots over tokens of a sequence, then sequences times heads or channels."""

DELTA = ("batch_size", "seq_len", "num_k_heads", "num_v_heads", "head_k_dim", "head_v_dim", "latency")
MAMBA2 = ("batch_size", "seq_len", "nheads", "head_dim", "n_groups", "d_state", "latency")
"""No scan of Mamba-2 was timed, only its convolution."""


def _rule(kind: str, phase: str) -> Callable[[Row], str]:
    def called(row: Row) -> str:
        ours = PHASES.get(row["phase"]) == phase and "conv" not in row["kernel_source"]
        return named(phase, kind, narrow=False) if ours and row["kernel_source"] not in FUSED else ""

    return called


def _convolution(kind: str, phase: str) -> Callable[[Row], str]:
    def called(row: Row) -> str:
        ours = PHASES.get(row["phase"]) == phase and "conv" in row["kernel_source"]
        return convolution(phase, kind) if ours and not _wrong(row, kind) else ""

    return called


def _wrong(row: Row, kind: str) -> bool:
    """Convolutions of a gated delta under TensorRT-LLM and SGLang 0.5.10 take as long for any heads (on H200 358 us for 32768 tokens of
    12288 channels, beyond its bandwidth); vLLM's of a prompt's Kimi delta takes 790 us of the host's time for a single token.
    """
    engine, prompt = row["framework"].lower(), row["phase"] == "context"
    if kind == "kimi_delta":
        return engine == "vllm" and prompt
    return kind == "gated_delta" and (engine == "trtllm" or row["version"] == "0.5.10")


def _delta(t: Table, _name: str, on: Hardware) -> Calls:
    """The scan of `Delta`, and its state read and written once."""
    count, length, heads = t["batch_size"], t["seq_len"], t["num_v_heads"]
    state = t["head_k_dim"] * t["head_v_dim"]
    work = 2 * 4 * state * heads * count * length / peak_flops(on.gpu, "bf16")
    kept = heads * state * STATE_BYTES + KERNEL * INPUT_BYTES * _channels(t)
    return timed(work, 2 * count * kept / on.gpu.memory_bandwidth, count * length, t, length, count * heads)


def _convolved(t: Table, _name: str, on: Hardware) -> Calls:
    count, length, channels = t["batch_size"], t["seq_len"], _channels(t)
    moved = convolved_bytes(channels, count * length, count) / on.gpu.memory_bandwidth
    return timed(0 * moved, moved, count * length, t, length, count * channels)


def _channels(t: Table) -> Array:
    if "nheads" in t:
        return t["nheads"] * t["head_dim"] + 2 * t["n_groups"] * t["d_state"]
    return 2 * t["num_k_heads"] * t["head_k_dim"] + t["num_v_heads"] * t["head_v_dim"]


def _rules(file: str, kind: str) -> Iterator[Operation]:
    """Of a prompt, and of single tokens."""
    return (Operation(file, DELTA, _rule(kind, phase), _delta, axes) for phase, axes in RULE.items())


def _convolutions(file: str, kind: str, columns: tuple[str, ...]) -> Iterator[Operation]:
    """The same."""
    return (
        Operation(file, columns, _convolution(kind, phase), _convolved, axes) for phase, axes in CONVOLUTION.items()
    )


RECURRENT = (
    *_rules("gdn", "gated_delta"),
    *_convolutions("gdn", "gated_delta", DELTA),
    *_rules("kda", "kimi_delta"),
    *_convolutions("kda", "kimi_delta", DELTA),
    *_convolutions("mamba2", "mamba2", MAMBA2),
)
