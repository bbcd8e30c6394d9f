"""What TensorRT-LLM refuses of the passes that a workload asks for: it has chunks and drafts, and no option for the rest."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, failed, rule, warned
from compiler.frameworks.asked import asked, draft_layers, sequences, step_tokens
from compiler.frameworks.tensorrt_llm import file_args
from compiler.frameworks.tensorrt_llm.emit import pass_tokens
from compiler.specs.config import Config

API = "llmapi/llm_args.py"


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """Every rule about passes; `source` names TensorRT-LLM and its version."""
    yield from draft_layers(config, f"{source} {API} MTPDecodingConfig")
    yield from file_args.rules(config, source)
    yield from _missing(config, source)
    yield from _cache(config, source)
    wanted = asked(config)
    if config.degrees.factors and (wanted.chunk is not None or wanted.drafts):
        need = sequences(config) if config.workload.role == "prefill" else step_tokens(config)
        budget = pass_tokens(config)
        larger = f"workload.prefill_chunk={need} or more, or " * (wanted.chunk is not None)
        yield check(
            "tensorrt_llm-pass-tokens",
            holds=budget >= need,
            observed=f"{budget} tokens",
            limit=f"{need} or more",
            message=f"{source} {API}: a pass has at most --max_num_tokens={budget} tokens, and {sequences(config)} sequences need {need}"
            + f", {wanted.drafts} of each drafted" * (need > sequences(config)),
            fix=f"write {larger}a smaller workload.global_batch_size",
        )


@rule
def _missing(config: Config, source: str) -> Iterator[Check]:
    """Its all-to-all kernels are its own choice, and nothing halves a batch."""
    wanted = asked(config)
    for key, name, on in (
        ("two_batch_overlap", "two-batch", wanted.overlap),
        ("low_latency_dispatch", "low-latency", wanted.low_latency),
    ):
        if on:
            yield failed(
                f"tensorrt_llm-{name}",
                observed="true",
                limit="false",
                message=f"{source} {API} has no option for workload.{key}: it would be costed and not started",
                fix=f"leave workload.{key} out, or write framework=vllm or framework=sglang",
            )


@rule
def _cache(config: Config, source: str) -> Iterator[Check]:
    """Nothing widens the cache of a checkpoint that says FP8."""
    precision = config.workload.precision
    if asked(config).cache == "bf16" and precision not in ("bf16", "fp16", "fp32"):
        yield warned(
            "tensorrt_llm-cache-auto",
            observed="auto",
            limit="bf16",
            message=f"{source} {API} KvCacheConfig takes the cache of {precision} weights from the checkpoint unless it is fp8: "
            "workload.kv_cache_precision=bf16 is costed, and only the checkpoint can say so",
            fix="start a checkpoint whose kv_cache_quant_algo is none, or write workload.kv_cache_precision=fp8",
        )
