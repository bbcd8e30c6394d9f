"""What vLLM refuses, or does in another way, of the passes that a workload asks for: chunks, drafts, halves, low latency."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks.asked import args_key, asked, cache_unsaid, draft_layers, sequences, step_tokens
from compiler.frameworks.options import number
from compiler.frameworks.vllm.arguments import LOW_LATENCY, given
from compiler.frameworks.vllm.budget import BUDGET, tokens
from compiler.specs.config import Config

DRAFTING = (
    "bailing_hybrid deepseek_v3 deepseek_v32 deepseek_v4 ernie4_5_moe exaone_moe glm4_moe glm4_moe_lite glm_moe_dsa kimi_k2 "
    "longcat_flash mimo nemotron_h qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next step3p5"
).split()
"""Families whose multi-token-prediction layers it loads; a kimi_k2 is loaded as a deepseek_v3."""

THRESHOLDS = {"decode": ("--dbo-decode-token-threshold", 32), "prefill": ("--dbo-prefill-token-threshold", 512)}
"""Phase -> the option, and its default, below which dual batch overlap leaves a batch whole (`config/parallel.py`)."""


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """Every rule about passes; `source` names vLLM and its version."""
    yield from draft_layers(config, f"{source} config/speculative.py, method mtp,")
    yield from _drafts(config, source)
    yield from _cache(config, source)
    if config.degrees.factors:
        yield from _budget(config, source)
        yield from _prompts(config, source)
        yield from _halves(config, source)


DRAFTED_MOST = 128
"""MAX_SPEC_LEN, which every step asserts."""


def _drafted(layers: int) -> int:
    """The most drafts that layers make in turns; none without layers."""
    return DRAFTED_MOST // layers * layers if layers else 0


@rule
def _drafts(config: Config, source: str) -> Iterator[Check]:
    drafts, layers = asked(config).drafts, config.model.num_nextn_predict_layers
    kind = config.model.model_type
    if drafts and layers and kind is not None:
        yield check(
            "vllm-draft-model",
            holds=kind in DRAFTING,
            observed=kind,
            limit=", ".join(DRAFTING),
            message=f"{source} config/speculative.py has no multi-token-prediction model of {kind}: workload.draft_tokens={drafts}",
            fix="write workload.draft_tokens=0, or --speculative-config of another method",
        )
    if drafts:
        yield check(
            "vllm-most-drafts",
            holds=drafts <= DRAFTED_MOST,
            observed=drafts,
            limit=DRAFTED_MOST,
            message=f"{source} v1/sample/rejection_sampler.py checks at most {DRAFTED_MOST} drafts of a request in a step, and "
            f"workload.draft_tokens={drafts}",
            fix=f"write workload.draft_tokens={_drafted(layers)}",
        )
    if drafts and layers and drafts <= DRAFTED_MOST:
        yield check(
            "vllm-draft-tokens",
            holds=drafts <= layers or drafts % layers == 0,
            observed=f"{drafts} % {layers} = {drafts % layers}",
            limit="0",
            message=f"{source} config/speculative.py runs the {layers} layers that draft in turns: num_speculative_tokens={drafts} "
            "is not a multiple of them",
            fix=f"write workload.draft_tokens={drafts // layers * layers}, or {(drafts // layers + 1) * layers}",
        )


@rule
def _cache(config: Config, source: str) -> Iterator[Check]:
    """A cache of 16 bits is of the model's own."""
    yield from cache_unsaid(config, given(config), source)
    precision = config.workload.precision
    if asked(config).cache == "bf16":
        yield check(
            "vllm-cache-dtype",
            holds=precision not in ("fp16", "fp32"),
            observed=precision,
            limit="bf16",
            message=f"{source} config/cache.py: a cache of 16 bits must match the model's dtype, and workload.kv_cache_precision=bf16 "
            f"stands beside workload.precision={precision}",
            fix="leave workload.kv_cache_precision out",
        )


@rule
def _budget(config: Config, source: str) -> Iterator[Check]:
    """All sequences of a rank decode in one pass; fewer than one token for each is a ValueError."""
    wanted, budget = asked(config), tokens(config, given(config))
    need = sequences(config) if config.workload.role == "prefill" else step_tokens(config)
    fix = (
        f"write workload.prefill_chunk={need} or more" if wanted.chunk else f"add {BUDGET}={need} to {args_key(config)}"
    )
    yield check(
        "vllm-pass-tokens",
        holds=budget >= need,
        observed=f"{budget} tokens",
        limit=f"{need} or more",
        message=f"{source} config/scheduler.py: a pass has at most {BUDGET}={budget} tokens, and the {sequences(config)} sequences "
        f"of a DP rank need {need}" + f", {wanted.drafts} of each drafted" * (need > sequences(config)),
        fix=f"{fix}, or a smaller workload.global_batch_size",
    )


@rule
def _prompts(config: Config, source: str) -> Iterator[Check]:
    """One back end carries the tokens of both phases; the plan's costs have it in decode alone."""
    wanted = asked(config)
    if wanted.low_latency:
        yield check(
            "vllm-low-latency-prefill",
            holds=config.workload.role == "decode",
            observed="prefill and decode" if config.workload.role is None else config.workload.role,
            limit="decode",
            message=f"{source} has one all-to-all back end for a server: {LOW_LATENCY} carries prompts too, "
            "and the plan's costs have it in decode alone",
            fix="write workload.pools, which give decode servers of its own, or leave workload.low_latency_dispatch out",
            otherwise=Status.WARN,
        )


@rule
def _halves(config: Config, source: str) -> Iterator[Check]:
    """Batches below a threshold stay whole without a word, and so do all where there is one DP rank."""
    wanted, workload, args = asked(config), config.workload, given(config)
    if not wanted.overlap:
        return
    yield check(
        "vllm-dbo-ranks",
        holds=config.degrees.adp > 1,
        observed=f"adp={config.degrees.adp}",
        limit="adp > 1",
        message=f"{source} v1/worker/dp_utils.py halves batches of DP ranks only, and the plan has adp={config.degrees.adp}",
        fix="write adp2 or more, or leave workload.two_batch_overlap out",
    )
    tokens = {"prefill": min(wanted.chunk or workload.longest, workload.longest), "decode": step_tokens(config)}
    for phase, (flag, default) in THRESHOLDS.items():
        least = number(args, flag, default)
        if workload.role in (None, phase):
            yield check(
                "vllm-dbo-tokens",
                holds=tokens[phase] >= least,
                observed=f"{tokens[phase]} tokens",
                limit=f"{least} or more",
                message=f"{source} v1/worker/ubatch_utils.py leaves a {phase} batch of fewer than {flag}={least} tokens whole, "
                f"and a DP rank has {tokens[phase]}",
                fix=f"add {flag}={max(tokens[phase], 2)} to {args_key(config)}, or leave workload.two_batch_overlap out",
            )
