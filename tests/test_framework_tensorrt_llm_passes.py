"""Chunks and drafts: what TensorRT-LLM is told of them, and what it has no option for."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.pools import pool_config
from compiler.specs.config import Config
from tests.checks import by_id
from tests.configs import changed, composed
from tests.pooled_plans import pools

BASE = composed("framework=tensorrt_llm", "parallel=ep16_etp4_pp4_dp4", "framework.instances=4")
CHUNK, DRAFTS, BATCH = "workload.prefill_chunk", "workload.draft_tokens", "workload.global_batch_size"
LAYERS, VERSION = "model.num_nextn_predict_layers", "framework.version"


def told(config: Config) -> tuple[str, dict[str, Any]]:
    """`--max_num_tokens`, and the file."""
    made = adapter("tensorrt_llm").emission(lay_out(config))
    words = list(made.arguments)
    return str(words[words.index("--max_num_tokens") + 1]), yaml.safe_load(str(made.files[0].text))


@pytest.mark.parametrize(
    ("values", "tokens", "content"),
    [
        ({CHUNK: 2048}, "2048", {"enable_chunked_prefill": True}),
        ({DRAFTS: 2}, "10240", {"speculative_config": {"decoding_type": "MTP", "num_nextn_predict_layers": 2}}),
        ({"workload.kv_cache_precision": "fp8"}, "10240", {"kv_cache_config": {"dtype": "fp8"}}),
        ({"workload.kv_cache_precision": "bf16"}, "10240", {}),
        ({DRAFTS: 2, VERSION: "1.3"}, "10240", {"speculative_config": {"decoding_type": "MTP", "max_draft_len": 2}}),
    ],
)
def test_a_key_is_in_the_file(values: dict[str, Any], tokens: str, content: dict[str, Any]) -> None:
    usual = told(changed(BASE, {LAYERS: 1}))[1]
    assert told(changed(BASE, {LAYERS: 1, **values})) == (tokens, {**usual, **content})


def test_of_two_pools_chunks_are_of_prefill_and_drafts_of_both() -> None:
    """Prefill fills the KV cache of the layers that draft in decode."""
    degrees = "parallel: {tp: 1, cp: 1, pp: 1, adp: 16, ep: 16, etp: 1}"
    config = composed("framework=tensorrt_llm", "hardware.nodes=4", pools(degrees, degrees))
    config = changed(config, {CHUNK: 2048, DRAFTS: 1, LAYERS: 1, "workload.low_latency_dispatch": True})
    prefill, decode = (pool_config(config, role) for role in ("prefill", "decode"))
    assert told(prefill)[0] == "2048"
    assert told(prefill)[1]["enable_chunked_prefill"]
    assert (told(decode)[0], "enable_chunked_prefill" in told(decode)[1]) == ("10240", False)
    assert told(prefill)[1]["speculative_config"] == told(decode)[1]["speculative_config"]
    assert ("tensorrt_llm-low-latency" in checks(prefill), "tensorrt_llm-low-latency" in checks(decode)) == (
        False,
        True,
    )


def checks(config: Config) -> dict[str, Check]:
    return by_id(adapter("tensorrt_llm").declared(config))


NO_LAYERS = "llmapi/llm_args.py MTPDecodingConfig drafts with the model's own multi-token-prediction layers: "
FULL = "llmapi/llm_args.py: a pass has at most --max_num_tokens="
NO_OPTION = "llmapi/llm_args.py has no option for workload."
INSTEAD = "out, or write framework=vllm or framework=sglang"
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "draft-layers",
        {DRAFTS: 2},
        NO_LAYERS + "workload.draft_tokens=2, and moe_30b has model.num_nextn_predict_layers=0",
        "write workload.draft_tokens=0, or a model that has such layers",
    ),
    (
        "pass-tokens",
        {CHUNK: 64, BATCH: 64 * 65},
        FULL + "64 tokens, and 65 sequences need 65",
        "write workload.prefill_chunk=65 or more, or a smaller workload.global_batch_size",
    ),
    (
        "pass-tokens",
        {DRAFTS: 3, LAYERS: 1, BATCH: 64 * 2561},
        FULL + "10240 tokens, and 2561 sequences need 10244, 3 of each drafted",
        "write a smaller workload.global_batch_size",
    ),
    (
        "two-batch",
        {"workload.two_batch_overlap": True},
        NO_OPTION + "two_batch_overlap: it would be costed and not started",
        f"leave workload.two_batch_overlap {INSTEAD}",
    ),
    (
        "low-latency",
        {"workload.low_latency_dispatch": True},
        NO_OPTION + "low_latency_dispatch: it would be costed and not started",
        f"leave workload.low_latency_dispatch {INSTEAD}",
    ),
]


@pytest.mark.parametrize(("name", "values", "message", "fix"), REFUSED)
def test_a_pass_is_refused(name: str, values: dict[str, Any], message: str, fix: str) -> None:
    found = checks(changed(BASE, values))[f"tensorrt_llm-{name}"]
    assert (found.status, found.message, found.fix) == ("fail", f"TensorRT-LLM 1.2.1 {message}", fix)


def test_what_fits_is_not_refused() -> None:
    for values in ({CHUNK: 65, BATCH: 64 * 65}, {DRAFTS: 3, LAYERS: 1, BATCH: 64 * 2560}):
        assert checks(changed(BASE, values))["tensorrt_llm-pass-tokens"].status == "pass"


def test_a_cache_that_only_the_checkpoint_can_widen_is_said() -> None:
    found = checks(changed(BASE, {"workload.kv_cache_precision": "bf16", "workload.precision": "fp8"}))
    assert found["tensorrt_llm-cache-auto"].status == "warn"
    assert found["tensorrt_llm-cache-auto"].message == (
        "TensorRT-LLM 1.2.1 llmapi/llm_args.py KvCacheConfig takes the cache of fp8 weights from the checkpoint unless it is fp8: "
        "workload.kv_cache_precision=bf16 is costed, and only the checkpoint can say so"
    )
    assert found["tensorrt_llm-cache-auto"].fix == (
        "start a checkpoint whose kv_cache_quant_algo is none, or write workload.kv_cache_precision=fp8"
    )
    for precision, cache in (("bf16", "bf16"), ("fp8", "fp8")):
        these = changed(BASE, {"workload.kv_cache_precision": cache, "workload.precision": precision})
        assert "tensorrt_llm-cache-auto" not in checks(these)
