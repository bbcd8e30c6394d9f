"""Blocks that keep a state or choose tokens: what their kernels' curves are asked, and which measured points these were fitted to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.rows.operation import Operation
from benchmarks.rows.recurrent_operations import RECURRENT
from benchmarks.rows.sparse_operations import AXES, SPARSE
from compiler.costs.arrays import Array, array
from compiler.costs.calibration import GpuCalibration
from compiler.costs.case import Case, case
from compiler.costs.work import flops, sparse
from compiler.costs.work.forward import Forward, one_token, whole_sequences
from compiler.costs.work.mixing import mixing
from compiler.frameworks.lay_out import lay_out
from tests.configs import composed

SERVED = ("hardware=h200", "hardware.nodes=1", "workload.sequence_lengths=[1024]", "workload.output_length=128")
BATCH = 64
POINT = {"batch_size": BATCH, "num_k_heads": 8, "num_v_heads": 16, "head_k_dim": 128, "head_v_dim": 128, "latency": 1}
"""A rank of two with Qwen3-Next's gated deltas."""


def served(model: str = "qwen3_next_80b_a3b", tp: int = 2) -> Case:
    batch = f"workload.global_batch_size={BATCH}"
    return case(lay_out(composed(f"model={model}", f"parallel=tp{tp}", "framework=vllm", *SERVED, batch)))


def passed(this: Case, phase: str) -> Forward:
    found = one_token(this, 1024.0) if phase == "decode" else whole_sequences(this, phase, 1024.0)
    return replace(found, sequences=array(BATCH), tokens=array(BATCH * (1 if phase == "decode" else 1024)))


class Asked:
    """A curve that takes a second, and says what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Array, ...]] = []

    def seconds(self, *call: Array) -> Array:
        self.calls.append(call)
        return array(1.0)


def operation(name: str) -> Operation:
    phase, kind = name.split("_", 1)
    file = {"gated_delta": "gdn", "kimi_delta": "kda", "mamba2": "mamba2"}[kind.removesuffix("_convolution")]
    row = {"phase": "context" if phase == "prefill" else "generation", "framework": "vLLM", "version": "0.24.0"}
    row["kernel_source"] = "causal_conv1d_fn" if name.endswith("_convolution") else "chunk_gated_delta_rule"
    return next(found for found in RECURRENT if found.file == file and found.called(row) == name)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("kernel", ["gated_delta", "gated_delta_convolution"])
def test_points_are_counted_as_blocks_are(kernel: str, phase: str) -> None:
    """Seconds at peak, rows and sizes of a measured point are those that a curve is asked for a plan's block."""
    this, curve = served(), Asked()
    forward, name = passed(this, phase), f"{phase}_{kernel}"
    found = mixing(this, forward, GpuCalibration(core={name: curve}))  # type: ignore[dict-item]
    assert float(found[0]) >= 36.0  # three of four layers
    table = {key: array([value]) for key, value in {**POINT, "seq_len": 1024 if phase == "prefill" else 1}.items()}
    call = operation(name).calls(table, name, this.hardware)
    asked = (call.arithmetic, call.moved, call.rows, *call.sizes)
    assert [float(value) for value in curve.calls[0]] == pytest.approx([float(value[0]) for value in asked])
    assert len(curve.calls) == 1
    assert len(call.sizes) == len(operation(name).axes)


WRONG = [
    ("gdn", {"framework": "TRTLLM", "kernel_source": "causal_conv1d_fn"}, ""),
    ("gdn", {"framework": "TRTLLM", "kernel_source": "chunk_gated_delta_rule"}, "prefill_gated_delta"),
    ("gdn", {"framework": "SGLang", "version": "0.5.10", "kernel_source": "causal_conv1d_fn"}, ""),
    ("gdn", {"framework": "SGLang", "kernel_source": "causal_conv1d_fn"}, "prefill_gated_delta_convolution"),
    ("kda", {"framework": "VLLM", "kernel_source": "causal_conv1d_fn_qkv3"}, ""),
    ("kda", {"framework": "SGLang", "kernel_source": "causal_conv1d_fn_qkv3"}, "prefill_kimi_delta_convolution"),
    ("kda", {"phase": "generation", "framework": "VLLM", "kernel_source": "fused_kda_decode"}, ""),
    ("kda", {"phase": "verify", "framework": "VLLM", "kernel_source": "fused_recurrent_kda"}, ""),
    ("mamba2", {"framework": "TRTLLM", "kernel_source": "causal_conv1d_fn"}, "prefill_mamba2_convolution"),
]


@pytest.mark.parametrize(("file", "row", "name"), WRONG)
def test_kernels_that_say_nothing_of_an_engine_make_no_curve(file: str, row: dict[str, str], name: str) -> None:
    whole = {"phase": "context", "version": "0.24.0", **row}
    assert {found.called(whole) for found in RECURRENT if found.file == file} - {""} == ({name} - {""})


MODULE = {
    "gpu": "h200_sxm",
    "framework": "VLLM",
    "kernel_source": "FLASHMLA_SPARSE",
    "model": "deepseek-ai/DeepSeek-V3.2",
}
MODULE |= {
    "kv_cache_dtype": "bfloat16",
    "gemm_type": "bfloat16",
    "num_heads": "64",
    "batch_size": "64",
    "latency": "90",
}


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_modules_that_choose_tokens_are_counted_as_blocks_are(phase: str) -> None:
    """Of a rank of two; what is left of a module without its products is the curve's."""
    this, curve, name = served("deepseek_v3_2"), Asked(), f"{phase}_sparse_latent"
    forward = passed(this, phase)
    mixing(this, forward, GpuCalibration(core={name: curve}))  # type: ignore[dict-item]
    operation = SPARSE[list(AXES).index(phase)]
    row = {**MODULE, "isl": "1024" if phase == "prefill" else "1", "step": "0" if phase == "prefill" else "1023"}
    (left,) = operation.read([row])
    assert operation.called(row) == name
    assert 60 < float(left["latency"]) < 90 if phase == "prefill" else 89 < float(left["latency"]) < 90
    table = {key: array([float(left[key])]) for key in operation.columns}
    call = operation.calls(table, name, this.hardware)
    asked = (call.arithmetic, call.moved, call.rows, *call.sizes)
    assert [float(value) for value in curve.calls[0]] == pytest.approx([float(value[0]) for value in asked])


def test_few_heads_take_as_long_as_64_and_every_rank_has_the_indexer() -> None:
    block = next(block for block, _ in served("deepseek_v3_2").running.blocks if block.kind == sparse.KIND)
    forward = Forward.of_length("decode", 4096.0)
    eighth, half = (sparse.mixed(block, array(tp), forward) for tp in (8, 2))
    assert float(eighth) == float(half) == 2 * (64 * 1088 * 2048 + 64 * 128 * 4096)
    assert float(sparse.mixed(block, array(1), forward)) == float(flops.mixed(block, array(1), forward))


@pytest.mark.parametrize(
    "change",
    [
        {"kernel_source": "sglang_dsa_skip_indexer_fa3", "framework": "SGLang"},
        {"kernel_source": "sglang_dsa_dense_mha_fa3", "framework": "SGLang"},
        {"batch_size": "1"},
    ],
)
def test_modules_that_do_not_choose_or_wait_for_the_host_make_no_curve(change: dict[str, str]) -> None:
    row = {**MODULE, "isl": "1024", "step": "0"}
    prefill = SPARSE[0].called
    assert prefill(row) == "prefill_sparse_latent"
    assert not prefill({**row, **change})
