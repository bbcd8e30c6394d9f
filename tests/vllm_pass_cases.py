"""Passes that vLLM refuses, or runs in another way: what asks for them, and all that is said of it."""

from __future__ import annotations

from typing import Any

from compiler.specs.config import Config
from tests.configs import changed
from tests.vllm_cases import ARGS, WIDE

CHUNK, DRAFTS, CACHE = "workload.prefill_chunk", "workload.draft_tokens", "workload.kv_cache_precision"
HALVES, QUICK = "workload.two_batch_overlap", "workload.low_latency_dispatch"
BATCH, LAYERS = "workload.global_batch_size", "model.num_nextn_predict_layers"
DRAFTING = changed(WIDE, {LAYERS: 1})
ALONE = {"parallel.tp": 4, "parallel.adp": 1, "parallel.ep": 4}
REFUSED: list[tuple[str, Config, dict[str, Any], str, str, str]] = [
    # rule, a plan that keeps it, what breaks it, status, the whole message after the version, the whole fix
    (
        "vllm-draft-layers",
        WIDE,
        {DRAFTS: 2},
        "fail",
        (
            "config/speculative.py, method mtp, drafts with the model's own multi-token-prediction layers: "
            "workload.draft_tokens=2, and moe_30b has model.num_nextn_predict_layers=0"
        ),
        "write workload.draft_tokens=0, or a model that has such layers",
    ),
    (
        "vllm-draft-tokens",
        changed(DRAFTING, {DRAFTS: 1}),
        {DRAFTS: 3, LAYERS: 2},
        "fail",
        "config/speculative.py runs the 2 layers that draft in turns: num_speculative_tokens=3 is not a multiple of them",
        "write workload.draft_tokens=2, or 4",
    ),
    (
        "vllm-most-drafts",
        changed(DRAFTING, {DRAFTS: 128}),
        {DRAFTS: 130, LAYERS: 3},
        "fail",
        (
            "v1/sample/rejection_sampler.py checks at most 128 drafts of a request in a step, and "
            "workload.draft_tokens=130"
        ),
        "write workload.draft_tokens=126",
    ),
    (
        "vllm-draft-model",
        changed(DRAFTING, {"model.model_type": "glm4_moe", DRAFTS: 1}),
        {"model.model_type": "minimax_m2"},
        "fail",
        "config/speculative.py has no multi-token-prediction model of minimax_m2: workload.draft_tokens=1",
        "write workload.draft_tokens=0, or --speculative-config of another method",
    ),
    (
        "vllm-cache-dtype",
        changed(WIDE, {CACHE: "bf16", "workload.precision": "fp8"}),
        {"workload.precision": "fp16"},
        "fail",
        (
            "config/cache.py: a cache of 16 bits must match the model's dtype, and workload.kv_cache_precision=bf16 stands beside "
            "workload.precision=fp16"
        ),
        "leave workload.kv_cache_precision out",
    ),
    (
        "vllm-cache-unsaid",
        changed(WIDE, {ARGS: ["org/model", "--kv-cache-dtype=auto"]}),
        {ARGS: ["org/model", "--kv-cache-dtype=fp8_e5m2"]},
        "warn",
        (
            "is started with --kv-cache-dtype=fp8_e5m2, and the plan's memory and times are of a cache as wide as activations"
        ),
        "write workload.kv_cache_precision=fp8 or bf16 in the place of --kv-cache-dtype",
    ),
    (
        "vllm-pass-tokens",
        changed(WIDE, {CHUNK: 2}),
        {CHUNK: 1},
        "fail",
        "config/scheduler.py: a pass has at most --max-num-batched-tokens=1 tokens, and the 2 sequences of a DP rank need 2",
        "write workload.prefill_chunk=2 or more, or a smaller workload.global_batch_size",
    ),
    (
        "vllm-pass-tokens",
        changed(DRAFTING, {DRAFTS: 3, QUICK: True, BATCH: 64 * 64}),
        {BATCH: 64 * 65},
        "fail",
        (
            "config/scheduler.py: a pass has at most --max-num-batched-tokens=256 tokens, and the 65 sequences of a DP rank "
            "need 260, 3 of each drafted"
        ),
        "add --max-num-batched-tokens=260 to framework.args, or a smaller workload.global_batch_size",
    ),
    (
        "vllm-low-latency-prefill",
        WIDE,
        {QUICK: True},
        "warn",
        (
            "has one all-to-all back end for a server: deepep_low_latency carries prompts too, and the plan's costs have it in "
            "decode alone"
        ),
        "write workload.pools, which give decode servers of its own, or leave workload.low_latency_dispatch out",
    ),
    (
        "vllm-all2all-unused",
        changed(WIDE, {QUICK: True}),
        ALONE,
        "fail",
        (
            "fused_moe/config.py uses --all2all-backend deepep_low_latency only with expert parallelism over DP or "
            "prefill-context ranks; the plan has ep=4 adp=1 cp=1"
        ),
        "leave workload.low_latency_dispatch out",
    ),
    (
        "vllm-dbo-ranks",
        changed(WIDE, {HALVES: True}),
        ALONE,
        "fail",
        "v1/worker/dp_utils.py halves batches of DP ranks only, and the plan has adp=1",
        "write adp2 or more, or leave workload.two_batch_overlap out",
    ),
    (
        "vllm-dbo-tokens",
        changed(WIDE, {HALVES: True, BATCH: 64 * 32}),
        {BATCH: 64 * 31},
        "fail",
        (
            "v1/worker/ubatch_utils.py leaves a decode batch of fewer than --dbo-decode-token-threshold=32 tokens whole, and a "
            "DP rank has 31"
        ),
        "add --dbo-decode-token-threshold=31 to framework.args, or leave workload.two_batch_overlap out",
    ),
    (
        "vllm-dbo-tokens",
        changed(WIDE, {HALVES: True, BATCH: 64 * 32, CHUNK: 512}),
        {"workload.role": "prefill", CHUNK: 511},
        "fail",
        (
            "v1/worker/ubatch_utils.py leaves a prefill batch of fewer than --dbo-prefill-token-threshold=512 tokens whole, and "
            "a DP rank has 511"
        ),
        "add --dbo-prefill-token-threshold=511 to workload.pools.prefill.args, or leave workload.two_batch_overlap out",
    ),
    (
        "vllm-dbo-backend",
        WIDE,
        {HALVES: True, "workload.role": "prefill"},
        "fail",
        (
            "config/vllm.py: dual batch overlap takes all-to-all back ends deepep_low_latency, deepep_high_throughput, nixl_ep, "
            "not allgather_reducescatter"
        ),
        (
            "write --all2all-backend=deepep_high_throughput in workload.pools.prefill.args, or leave workload.two_batch_overlap "
            "out"
        ),
    ),
    (
        "vllm-dbo",
        changed(WIDE, {HALVES: True}),
        {"parallel.pp": 2},
        "fail",
        (
            "config/vllm.py: dual batch overlap knows no pipeline and no context parallelism; the plan has pp=2, context "
            "parallelism 1"
        ),
        "leave workload.two_batch_overlap out, or write pp1 and no context parallelism",
    ),
    (
        "vllm-dbo-alone",
        changed(DRAFTING, {HALVES: True}),
        {DRAFTS: 1},
        "fail",
        "config/vllm.py: dual batch overlap goes with neither LoRA nor speculative decoding; --speculative-config",
        "leave workload.two_batch_overlap or workload.draft_tokens out",
    ),
]
