"""Plans that SGLang would run otherwise than they say, or not at all: what they change, and what is said of it."""

from __future__ import annotations

from typing import Any

from compiler.specs.config import Config
from compiler.specs.weights import Quantization
from tests.configs import changed, composed

MODEL = "--model-path=org/model"
ARGS = "framework.args"


def _eight(model: str, hardware: str, **degrees: int) -> Config:
    """A stage of eight ranks on one node."""
    sizes = {"tp": 1, "pp": 1, "cp": 1, "adp": 1, "ep": 8, "etp": 1, "dp": None} | degrees
    values = {f"parallel.{name}": size for name, size in sizes.items()}
    config = composed("framework=sglang", f"model={model}", f"hardware={hardware}")
    return changed(config, {**values, "hardware.nodes": 1, ARGS: [MODEL]})


LATENT = _eight("deepseek_v3", "h200", cp=8)
SPARSE = changed(LATENT, {"model.index_topk": 2048, "model.architectures": None, "model.model_type": None})
GLM = changed(SPARSE, {"model.architectures": ["GlmMoeDsaForCausalLM"]})
PLAIN = _eight("deepseek_v3", "mi300x", adp=8)
REPLICAS = _eight("qwen3_30b_a3b", "b200", adp=8)
HEADS = _eight("qwen3_30b_a3b", "mi300x", tp=8)
OLD = {"framework.version": "0.5.21"}
FEW = {"workload.prefill_chunk": 64}

CASES: list[tuple[str, Config, dict[str, Any], str, str, str]] = [
    # rule, a plan that keeps it, what breaks it, status, message, fix
    (
        "sglang-context-device",
        LATENT,
        {"hardware": PLAIN.hardware},
        "fail",
        "no prefill context parallelism of DeepseekV3ForCausalLM on AMD Instinct MI300X, and the plan has cp=8",
        "write parallel.cp=1 parallel.dp=null parallel.adp=8",
    ),
    (
        "sglang-context-model",
        LATENT,
        {"model.architectures": ["LongcatFlashForCausalLM"]},
        "fail",
        "stops at prefill context parallelism of LongcatFlashForCausalLM, and the plan has cp=8",
        "parallel.cp=1",
    ),
    (
        "sglang-context-strategy",
        SPARSE,
        {ARGS: [MODEL, "--cp-strategy=zigzag"]},
        "fail",
        "cuts prompts of DeepseekV32ForCausalLM by --cp-strategy interleave alone, not zigzag",
        "leave --cp-strategy out",
    ),
    (
        "sglang-context-heads",
        LATENT,
        {"parallel.tp": 2, "parallel.cp": 4},
        "fail",
        "DeepseekV3ForCausalLM gets attn_cp_size = 8 / adp=1 = 8 and no tensor parallelism of attention, whatever it is told; the plan has",
        "write parallel.tp=1 parallel.cp=8 parallel.dp=null parallel.adp=1 parallel.ep=8 parallel.etp=1",
    ),
    (
        "sglang-context-heads",
        changed(GLM, {ARGS: [MODEL, "--cp-strategy=zigzag"]}),
        {"parallel.tp": 2, "parallel.cp": 4},
        "fail",
        "GlmMoeDsaForCausalLM gets attn_cp_size = 8",
        "parallel.ep=8 parallel.etp=1",
    ),
    ("sglang-context-heads", changed(SPARSE, OLD), {"parallel.tp": 2, "parallel.cp": 4}, "fail", "0.5.21", "cp=8"),
    (
        "sglang-a2a-ep",
        LATENT,
        {"parallel.ep": 4, "parallel.etp": 2},
        "fail",
        "--moe-a2a-backend deepep sets ep_size to tp_size=8 without a word, and the plan has ep=4",
        "parallel.ep=8 parallel.etp=1, or leave parallel.cp out",
    ),
    (
        "sglang-context-sparse",
        SPARSE,
        {"parallel.cp": 16, "parallel.ep": 16, "hardware.nodes": 2},
        "fail",
        "takes a stage of at most 8 ranks, and tp1 x cp16 x adp1 are 16",
        "parallel.cp=8 parallel.dp=null parallel.adp=1 parallel.ep=8 parallel.etp=1 framework.instances=2",
    ),
    (
        "sglang-context-replicas",
        changed(SPARSE, OLD),
        {"parallel.cp": 4, "parallel.adp": 2},
        "fail",
        "knows no attention DP with sparse attention, and the plan has adp=2",
        "parallel.adp=1",
    ),
    (
        "sglang-context-override",
        changed(LATENT, {ARGS: [MODEL, "--moe-a2a-backend=deepep"]}),
        {ARGS: [MODEL, "--moe-a2a-backend=nixl"]},
        "fail",
        "it sets --moe-a2a-backend to deepep, whatever it is told, and framework.args ask for nixl",
        "leave --moe-a2a-backend out",
    ),
    (
        "sglang-context-override",
        LATENT,
        {ARGS: [MODEL, "--moe-dense-tp-size", "8"]},
        "fail",
        "it sets --moe-dense-tp-size to 1",
        "leave --moe-dense-tp-size out",
    ),
    (
        "sglang-chunk-page",
        changed(REPLICAS, FEW),
        {"workload.prefill_chunk": 1000},
        "fail",
        "workload.prefill_chunk=1000 tokens are not whole pages of 64, those of trtllm_mha on NVIDIA B200",
        "write workload.prefill_chunk=1024",
    ),
    (
        "sglang-chunk-page",
        changed(SPARSE, FEW),
        {"workload.prefill_chunk": 100},
        "fail",
        "not whole pages of 64, those of attention with an indexer",
        "workload.prefill_chunk=128",
    ),
    (
        "sglang-page",
        REPLICAS,
        {ARGS: [MODEL, "--page-size=1"]},
        "fail",
        "the cache has pages of 64 tokens, those of trtllm_mha on NVIDIA B200, whatever --page-size=1 asks for",
        "leave --page-size out",
    ),
    (
        "sglang-chunk-divided",
        changed(REPLICAS, {"workload.sequence_lengths": [128]}),
        {"workload.sequence_lengths": [128, 10240]},
        "warn",
        "divides its own chunk by adp=8: prompts of 10240 tokens run in passes of 2048, and are timed in one",
        "write workload.prefill_chunk=2048",
    ),
    (
        "sglang-a2a-room",
        changed(REPLICAS, {ARGS: [MODEL, "--moe-a2a-backend=pplx"], **FEW}),
        {"workload.prefill_chunk": None},
        "fail",
        "pplx has room for SGLANG_PPLX_NUM_MAX_DISPATCH_TOKENS_PER_RANK=128 tokens of a rank, and a pass of prompts has 2048",
        "write launch.environment.SGLANG_PPLX_NUM_MAX_DISPATCH_TOKENS_PER_RANK=2048, or workload.prefill_chunk=128",
    ),
    (
        "sglang-a2a-runner",
        changed(REPLICAS, {ARGS: [MODEL, "--moe-a2a-backend=flashinfer", "--moe-runner-backend=flashinfer_cutlass"]}),
        {ARGS: [MODEL, "--moe-a2a-backend=flashinfer"]},
        "fail",
        "flashinfer goes with 5 kernels of experts, and --moe-runner-backend is auto",
        "add --moe-runner-backend=flashinfer_cutlass to framework.args",
    ),
    (
        "sglang-a2a-model",
        changed(REPLICAS, {ARGS: [MODEL, "--moe-a2a-backend=deepep_v2"]}),
        {"model.architectures": ["MixtralForCausalLM"]},
        "fail",
        "deepep_v2 is not validated for MixtralForCausalLM, and stops",
        "write deepep in its place",
    ),
    (
        "sglang-context-length",
        changed(REPLICAS, {"model.max_position_embeddings": 16384}),
        {"workload.sequence_lengths": [16384]},
        "fail",
        "stops at --context-length=17408 of a model of 16384 positions: prompts of 16384 tokens and answers of 1024",
        "write launch.environment.SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1",
    ),
    (
        "sglang-quantization-none",
        REPLICAS,
        {"model.quantization": Quantization("modelopt", {}, "fp8")},
        "fail",
        "stops at a checkpoint of modelopt that has no quant_algo of its weights",
        "workload.kv_cache_precision=fp8",
    ),
    (
        "sglang-quantization-device",
        PLAIN,
        {"model.quantization": Quantization("modelopt", PLAIN.model.quantization.weights)},
        "fail",
        "loads no checkpoint of modelopt on AMD Instinct MI300X (gfx942)",
        "another GPU",
    ),
    (
        "sglang-aiter-share",
        changed(
            HEADS,
            {
                "launch.environment": {"SGLANG_AITER_HONOR_EXPLICIT_MEM_FRACTION": "1"},
                ARGS: [MODEL, "--mem-fraction-static=0.9"],
            },
        ),
        {"launch.environment": {}},
        "warn",
        "it takes 0.85 of --mem-fraction-static=0.9, and the plan counts with all of it",
        "write launch.environment.SGLANG_AITER_HONOR_EXPLICIT_MEM_FRACTION=1",
    ),
]

HELD: list[tuple[str, Config, dict[str, Any]]] = [
    ("sglang-context-heads", LATENT, {}),
    ("sglang-context-sparse", SPARSE, {"parallel.tp": 2, "parallel.cp": 4}),
    ("sglang-context-model", LATENT, {}),
    ("sglang-context-length", REPLICAS, {"launch.environment": {"SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN": "1"}}),
    ("sglang-page", REPLICAS, {ARGS: [MODEL, "--page-size=32"]}),
    ("sglang-a2a-room", REPLICAS, {ARGS: [MODEL, "--moe-a2a-backend=mori"]}),
    ("sglang-quantization-device", PLAIN, {}),
]
