"""Attention by an indexer (DSA): what whole modules take beside the products that a plan counts for them.

Modules were timed with their projections. These are taken off by the curves of the same GPU and engine, so that products and
attention together take what the module did; norms, rotations and the choice of tokens are with the attention.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from benchmarks.rows.hardware import gpu_file, nominal
from benchmarks.rows.operation import ENGINES, Axes, Operation, Table, timed
from benchmarks.rows.products import PRECISIONS, product
from benchmarks.rows.record import Row
from compiler.blocks.block import Block, local
from compiler.blocks.latent import Latent
from compiler.costs.arrays import Array, array
from compiler.costs.calibration import GpuCalibration
from compiler.costs.constants import GRAPHED_S, QUANTISED_S
from compiler.costs.work.flops import peak_flops
from compiler.costs.work.forward import mean_keys
from compiler.costs.work.mixing import named
from compiler.costs.work.sparse import KIND, attended
from compiler.specs.hardware import Hardware
from compiler.speed import kernels
from compiler.speed.fit.grids import Calls

LATENT = Latent(kv_lora_rank=512, rope_dim=64, index_dim=128, index_topk=2048)
DEEPSEEK = replace(LATENT, hidden=7168, q_lora_rank=1536, nope_dim=128, value_dim=128, index_heads=64)
GLM = replace(LATENT, hidden=6144, q_lora_rank=2048, nope_dim=192, value_dim=256, index_heads=32)
"""Sizes of DeepSeek-V3.2 and of GLM-5, published."""

ROW, KEY, CHOSEN, WIDTH = 576, 132, 2048, 1088
"""Elements of a token's latent, bytes of its indexer's key, tokens chosen, and multiplications of a head and key."""

EAGER = {"vllm": 4096, "sglang": 2048, "trtllm": 1}
"""Fewest tokens of a prompt's pass: below them modules were timed with the work of the host, 0.5 to 4 ms for a single token too."""

AXES: Mapping[str, Axes] = {
    "prefill": ((8, 10, 11, 12, 13, 14, 15, 17), (0, 4, 7, 9, 10, 11, 12, 13, 15, 17), (3, 5, 7)),
    "decode": ((6, 10, 11, 12, 13, 15, 17), (0, 3, 5, 7, 9, 10), (3, 5, 7)),
}
"""Knots over tokens of a sequence so far, new ones of all, and heads."""

FILES = {"prefill": "dsa_context_module", "decode": "dsa_generation_module"}


def _sizes(model: str) -> Latent:
    return DEEPSEEK if "DeepSeek" in model else GLM


def _called(phase: str) -> Callable[[Row], str]:
    """Not of layers that take an earlier one's choice, nor of SGLang's short prompts, which attend to all."""

    def called(row: Row) -> str:
        kernel, tokens = row["kernel_source"], float(row["batch_size"]) * float(row["isl"])
        short = phase == "prefill" and tokens < EAGER[ENGINES[row["framework"].lower()]]
        other = short or "skip_indexer" in kernel or "dense" in kernel
        return "" if other else named(phase, KIND, narrow=row["kv_cache_dtype"] == "fp8")

    return called


def _attention(rows: list[Row]) -> list[Row]:
    """Modules less their products."""
    alike: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        alike[tuple(row[key] for key in ("gpu", "framework", "model", "num_heads", "gemm_type"))].append(row)
    return [row for same in alike.values() for row in _less(same)]


def _less(rows: list[Row]) -> list[Row]:
    first = rows[0]
    sizes = _sizes(first["model"])
    block = replace(sizes, heads=int(first["num_heads"])).block()
    tokens = np.array([float(row["batch_size"]) * float(row["isl"]) for row in rows])
    spent = 1e3 * _products(block, tokens, first)
    beside = {"index_heads": str(sizes.index_heads)}
    return [
        {**row, **beside, "latency": str(float(row["latency"]) - less)} for row, less in zip(rows, spent, strict=True)
    ]


def _products(block: Block, tokens: Array, row: Row) -> Array:
    """Seconds, in a captured graph, as a plan counts them."""
    gpu, engine = gpu_file(row), ENGINES[row["framework"].lower()]
    name, weight, unit = PRECISIONS[row["gemm_type"]]
    known = GpuCalibration(gemm=kernels.sections(gpu, engine)["gemm"])
    curve, one = known.kernel(known.gemm, name, weight), np.ones_like(tokens)
    found, graphed = 0 * tokens, GRAPHED_S + QUANTISED_S * (unit != "bf16")
    for matrix in block.matrices:
        n, k = one * local(matrix.columns, array(1.0)), one * local((matrix.rows,), array(1.0))
        table = {"m": tokens, "n": n, "k": k, "latency": one}
        seconds = product(table, name, nominal(gpu)).said(curve)
        found = found + np.maximum(seconds - max(0.0, curve.launch_s - graphed), 0.0)
    return found


def _calls(t: Table, name: str, on: Hardware) -> Calls:
    count, new, before, heads = t["batch_size"], t["isl"], t["step"], t["num_heads"]
    length, tokens, decode = new + before, count * new, name.startswith("decode")
    met, seen = (np.minimum(length, CHOSEN), length) if decode else _met(length, before)
    each = attended(heads, WIDTH, met) + 2 * t["index_heads"] * LATENT.index_dim * seen
    element = 1.0 if name.endswith("_fp8") else 2.0
    moved = count * (ROW * element * (met if decode else length) + KEY * length) / on.gpu.memory_bandwidth
    return timed(tokens * each / peak_flops(on.gpu, "bf16"), moved, tokens, t, length, tokens, heads)


def _met(length: Array, before: Array) -> tuple[Array, Array]:
    """Keys that a new token meets on average, of those chosen and of all."""
    chosen = [mean_keys(every, CHOSEN, found) for every, found in zip(length, before, strict=True)]
    return np.array(chosen), (length + before) / 2


COLUMNS = ("batch_size", "isl", "step", "num_heads", "index_heads", "latency")
SPARSE = tuple(
    Operation(FILES[phase], COLUMNS, _called(phase), _calls, axes, _attention) for phase, axes in AXES.items()
)
