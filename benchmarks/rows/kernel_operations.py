"""What each file of kernel points measures: the operations in it, their axes, and the calls that its rows are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from benchmarks.rows.operation import Operation, Table, steps, timed
from benchmarks.rows.products import form, precision, product
from benchmarks.rows.record import Row
from benchmarks.rows.recurrent_operations import RECURRENT
from benchmarks.rows.sparse_operations import SPARSE
from compiler.costs.arrays import Array
from compiler.costs.work.flops import peak_flops
from compiler.costs.work.forward import mean_keys
from compiler.costs.work.mixing import HEADS, LONGEST_WINDOW, named, windowed
from compiler.specs.hardware import Hardware
from compiler.speed.fit.grids import Calls

ALONE = 0.3
"""What a call counts whose heads share no keys, as those of hardly any model that is served do."""


def _headed(calls: Calls) -> Calls:
    return replace(calls, weight=np.where(calls.sizes[-1] > 1, 1.0, ALONE))


def _grouped(t: Table, precision: str, on: Hardware) -> Calls:
    _, weight, unit = form(precision)
    tokens, hidden, topk, experts = t["num_tokens"], t["hidden_size"], t["topk"], t["num_experts"]
    width, local = t["inter_size"] / t["moe_tp_size"], experts / t["moe_ep_size"]
    pairs = tokens * topk / t["moe_ep_size"]
    touched = np.minimum(local, pairs)  # balanced: no expert has a second token before all have one
    matrices = t["matrices"]
    work = 2 * matrices * pairs * hidden * width / peak_flops(on.gpu, unit)
    moved = matrices * touched * hidden * width * weight + pairs * (4 * hidden + 6 * width)
    moved = moved / on.gpu.memory_bandwidth
    return timed(work, moved, pairs / local, t, pairs / local, touched, hidden * width)


def _decode(t: Table, name: str, on: Hardware) -> Calls:
    count, heads, keys = t["batch_size"], t["num_heads"], t["num_key_value_heads"]
    met = t["isl"] + t["step"]
    length, met = met, np.where(t["window_size"] > 0, np.minimum(met, t["window_size"]), met)
    work = 4 * t["head_dim"] * heads * count * met / peak_flops(on.gpu, "bf16")
    each = 1.0 if name.endswith("_fp8") else 2.0
    moved = count * keys * met * 2 * t["head_dim"] * each / on.gpu.memory_bandwidth
    return _headed(timed(work, moved, count, t, length, count * keys, heads / keys))


def _prefill(t: Table, _name: str, on: Hardware) -> Calls:
    count, heads, keys, length = t["batch_size"], t["num_heads"], t["num_key_value_heads"], t["isl"]
    met = _met(length, t["window_size"])
    work = 4 * t["head_dim"] * heads * count * length * met / peak_flops(on.gpu, "bf16")
    moved = count * keys * length * 4 * t["head_dim"] / on.gpu.memory_bandwidth
    return _headed(timed(work, moved, count * length, t, length, count * heads, heads / keys))


def _met(length: Array, window: Array) -> Array:
    pairs = zip(length, window, strict=True)
    return np.array([mean_keys(float(each), int(limit) or None) for each, limit in pairs])


LATENT, NARROWED, ABSORBED = 576, 320, 1088
"""Of DeepSeek's latent attention: elements of a token's cache, and multiplications of a head and key in prefill and in decode."""


def _latent(t: Table, name: str, on: Hardware) -> Calls:
    count, heads = t["batch_size"], t["num_heads"]
    decode = name.startswith("decode")
    length = t["isl"] + t["step"] if decode else t["isl"]
    tokens, met = (count, length) if decode else (count * length, length / 2)
    work = 2 * (ABSORBED if decode else NARROWED) * heads * tokens * met / peak_flops(on.gpu, "bf16")
    moved = count * length * LATENT * (1.0 if name.endswith("_fp8") else 2.0) / on.gpu.memory_bandwidth
    return timed(work, moved, tokens, t, length, count, heads)


def _joined(t: Table, _name: str, on: Hardware) -> Calls:
    whole, ranks = 2 * t["message_size"], t["num_gpus"]
    moved = 2 * (ranks - 1) / ranks * whole / on.nvlink.bandwidth
    return timed(0 * whole, moved, 1 + 0 * whole, t, whole, ranks)


UNLIKE = "situ"
"""Of kernels with another activation than all models of ours have."""


def _experts(row: Row) -> str:
    usable = row["distribution"] == "balanced" and UNLIKE not in row["kernel_source"]
    return precision("moe_dtype")(row) if usable else ""


def _head(row: Row, phase: str) -> str:
    width = min(HEADS, key=lambda other: abs(other - int(row["head_dim"])))
    window, narrow = float(row["window_size"] or 0), row["kv_cache_dtype"] == "fp8"
    known = width == int(row["head_dim"]) and window <= LONGEST_WINDOW
    known = known and row.get("attn_dtype", "") == _multiplied(row["framework"], phase, narrow=narrow)
    return named(phase, windowed(width, limited=window > 0), narrow=narrow) if known else ""


def _multiplied(framework: str, phase: str, *, narrow: bool) -> str:
    """In what prompts attend: vLLM's kernels widen a narrow cache, the others' narrow the queries."""
    return "fp8" if narrow and phase == "prefill" and framework != "VLLM" else "bfloat16"


def _mla(row: Row, phase: str) -> str:
    """SGLang's prompts on Hopper were timed in the absorbed form, three times the work: engines fill in the other one."""
    if phase == "prefill" and row["kernel_source"] == "flash_attention":
        return ""
    return named(phase, "latent", narrow=row["kv_cache_dtype"] == "fp8")


def _captured(row: Row) -> str:
    return "" if "eager" in row["kernel_source"] else "all_reduce"


HEADED = ("batch_size", "isl", "step", "num_heads", "num_key_value_heads", "head_dim", "window_size", "latency")
MLA = ("batch_size", "isl", "step", "num_heads", "latency")
EXPERTS = ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size", "latency")
OPERATIONS: Mapping[str, tuple[Operation, ...]] = {
    "gemm": (
        Operation(
            "gemm",
            ("m", "n", "k", "latency"),
            precision("gemm_dtype"),
            product,
            ((0, 4, 7, 9, 12), (8, 11, 13, 15), (8, 11, 13, 15)),
        ),
    ),
    "grouped": (
        Operation(
            "moe",
            EXPERTS,
            _experts,
            _grouped,
            (steps(0, 10, 2), (1, 3, 5, 7), (17, 19, 21, 23, 25)),
        ),
    ),
    "core": (
        Operation(
            "generation_attention",
            HEADED,
            lambda row: _head(row, "decode"),
            _decode,
            ((4, 7, 10, 13, 16), steps(0, 10, 2), (0, 2, 4)),
        ),
        Operation(
            "context_attention",
            HEADED,
            lambda row: _head(row, "prefill"),
            _prefill,
            ((4, 7, 9, 11, 13, 15), steps(0, 10, 2), (0, 2, 4)),
        ),
        Operation(
            "generation_mla",
            MLA,
            lambda row: _mla(row, "decode"),
            _latent,
            ((4, 7, 10, 13, 16), (0, 3, 5, 7, 9), (0, 3, 5, 7)),
        ),
        Operation(
            "context_mla",
            MLA,
            lambda row: _mla(row, "prefill"),
            _latent,
            ((4, 7, 9, 11, 13, 15), (0, 2, 4, 6), (0, 3, 5, 7)),
        ),
        *RECURRENT,
        *SPARSE,
    ),
    "joined": (
        Operation(
            "custom_allreduce",
            ("message_size", "num_gpus", "latency"),
            _captured,
            _joined,
            (steps(8, 30, 2), (1, 2, 3, 4)),
        ),
    ),
}
"""Section of a calibration file -> its operations."""
