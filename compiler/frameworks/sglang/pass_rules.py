"""What SGLang refuses, or does in another way, of the passes that a workload asks for: chunks, drafts, halves, low latency."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks.asked import args_key, asked, cache_unsaid, draft_layers
from compiler.frameworks.options import number
from compiler.frameworks.sglang import chunks
from compiler.frameworks.sglang.arguments import A2A, backend, given
from compiler.frameworks.sglang.checkpoint import sparse
from compiler.frameworks.sglang.pages import kernels, page
from compiler.specs.config import Config

WHOLE = ("none", "deepep_v2", "megamoe")
"""All-to-all back ends that no batch is halved for (`arg_groups/{validation,moe,mega_moe}_hook.py`)."""

DISPATCHED, DISPATCHED_DEFAULT, DISPATCHED_MOST = "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", 128, 1024
"""Tokens of a rank that DeepEP's low-latency kernels have room for (`environ.py`, `layers/moe/token_dispatcher/deepep.py`)."""

PIPED = "SGLANG_ENABLE_PP_SPEC"


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """Every rule about passes; `source` names SGLang and its version."""
    yield from draft_layers(config, f"{source} --speculative-algorithm EAGLE")
    yield from _drafts(config, source)
    yield from cache_unsaid(config, given(config), source)
    yield from _chunk(config, source)
    yield from _halves(config, source)
    yield from _room(config, source)


def _environment(config: Config) -> dict[str, str]:
    return {**config.site.environment, **config.launch.environment}


@rule
def _drafts(config: Config, source: str) -> Iterator[Check]:
    """Drafts in a pipeline are for prefill servers, or behind a switch that knows no attention DP."""
    degrees, role = config.degrees, config.workload.role
    if not asked(config).drafts or degrees.pp == 1:
        return
    piped = _environment(config).get(PIPED, "").lower() in ("1", "true", "yes")
    yield check(
        "sglang-draft-pipeline",
        holds=(role is None and degrees.adp == 1) if piped else role == "prefill",
        observed=f"pp={degrees.pp} adp={degrees.adp}",
        limit="pp=1",
        message=f"{source} arg_groups/validation_hook.py: with a pipeline only servers of prefill draft, or with {PIPED}=1 those of "
        f"both phases without attention DP; the plan has pp={degrees.pp} adp={degrees.adp}, {role or 'both phases'}",
        fix="write pp1, or workload.draft_tokens=0",
    )


@rule
def _chunk(config: Config, source: str) -> Iterator[Check]:
    """Chunks are whole pages, of a size that is the kernels' and not always what is asked for."""
    chunk, tokens = asked(config).chunk, page(config)
    if chunk is not None:
        yield check(
            "sglang-chunk-page",
            holds=chunk % tokens == 0,
            observed=f"{chunk} % {tokens} = {chunk % tokens}",
            limit="0",
            message=f"{source} arg_groups/validation_hook.py: chunks of workload.prefill_chunk={chunk} tokens are not whole pages of "
            f"{tokens}{_whose(config)}",
            fix=f"write workload.prefill_chunk={-(-chunk // tokens) * tokens}",
        )
    elif config.workload.role != "decode" and config.degrees.adp > 1:
        yield _divided(config, source)
    written = number(given(config), "--page-size", tokens)
    yield check(
        "sglang-page",
        holds=written == tokens,
        observed=written,
        limit=tokens,
        message=f"{source} arg_groups/overrides.py: the cache has pages of {tokens} tokens{_whose(config)}, whatever --page-size={written} asks for",
        fix="leave --page-size out",
    )


def _divided(config: Config, source: str) -> Check:
    """A chunk that nobody chose is divided by the attention DP too, and a prompt that is planned in one pass takes several."""
    tokens, longest, adp = chunks.own(config), config.workload.longest, config.degrees.adp
    return check(
        "sglang-chunk-divided",
        holds=tokens >= longest,
        observed=f"{tokens} tokens",
        limit=f"{longest} tokens",
        message=f"{source} arg_groups/parallel_hook.py divides its own chunk by adp={adp}: prompts of {longest} tokens run in passes of {tokens}, "
        "and are timed in one",
        fix=f"write workload.prefill_chunk={tokens}, or a larger one",
        otherwise=Status.WARN,
    )


def _whose(config: Config) -> str:
    """Why pages are as they are."""
    if sparse(config.model):
        return ", those of attention with an indexer"
    found = ", ".join(sorted(kernels(config)))
    if found:
        return f", those of {found} on {config.hardware.gpu.name}"
    return ", those of --page-size" * ("--page-size" in given(config))


@rule
def _halves(config: Config, source: str) -> Iterator[Check]:
    """Two batches in turns need an all-to-all between them, and prompts one that is not low-latency."""
    if not asked(config).overlap:
        return
    chosen, role = backend(given(config)), config.workload.role
    yield check(
        "sglang-two-batch",
        holds=chosen not in WHOLE,
        observed=chosen,
        limit="deepep",
        message=f"{source} halves batches between the dispatch and combine of an all-to-all back end, and {A2A} is {chosen}",
        fix=f"add {A2A}=deepep to {args_key(config)}, or leave workload.two_batch_overlap out",
    )
    mode = given(config).get("--deepep-mode", "auto")
    yield check(
        "sglang-two-batch-prefill",
        holds=role == "decode" or mode != "low_latency",
        observed=mode,
        limit="auto, normal",
        message=f"{source} batch_overlap/two_batch_overlap.py leaves prompts whole with --deepep-mode {mode}",
        fix="leave --deepep-mode out, or leave workload.two_batch_overlap out",
    )
    yield check(
        "sglang-two-batch-model",
        holds=config.model.mla,
        observed=config.model.name,
        limit="DeepSeek V2 to V4, Qwen3 MoE, MiMo V2",
        message=f"{source} batch_overlap/operations_strategy.py halves batches of DeepSeek V2 to V4, Qwen3 MoE and MiMo V2 only; whether "
        f"{config.model.name} is built like one of them is not known",
        fix="leave workload.two_batch_overlap out where it is not",
        otherwise=Status.WARN,
    )


def _tokens(config: Config) -> int:
    """Tokens of a rank that low-latency kernels are given room for."""
    return number({DISPATCHED: _environment(config).get(DISPATCHED, "")}, DISPATCHED, DISPATCHED_DEFAULT)


def dispatched(config: Config) -> int | None:
    """Sequences of an attention DP rank that a step of decode may have, at least one; None where nothing bounds them.

    tp ranks share the tokens of a rank of attention DP (`utils/common.py require_attn_tp_gather`).
    """
    if not asked(config).low_latency:
        return None
    return max(min(_tokens(config), DISPATCHED_MOST) * config.degrees.tp // (1 + asked(config).drafts), 1)


@rule
def _room(config: Config, source: str) -> Iterator[Check]:
    """Kernels that have no room for one sequence, or are told to have more than they can."""
    if not asked(config).low_latency:
        return
    room, need = _tokens(config), -(-(1 + asked(config).drafts) // config.degrees.tp)
    yield check(
        "sglang-dispatch-room",
        holds=need <= room <= DISPATCHED_MOST,
        observed=f"{room} tokens",
        limit=f"{need} to {DISPATCHED_MOST}",
        message=f"{source} token_dispatcher/deepep.py: low-latency kernels have room for {DISPATCHED}={room} tokens of a rank, "
        f"at most {DISPATCHED_MOST}, and one sequence has {need} in a step of decode",
        fix=f"write launch.environment.{DISPATCHED}={min(max(room, need), DISPATCHED_MOST)}",
    )


@rule
def running(config: Config, sequences: int) -> Iterator[Check]:
    """Of `sequences` that memory has room for at a time, those for which the kernels have none wait as well."""
    most = dispatched(config)
    if most is None:
        return
    own = -(-sequences // config.degrees.adp)
    need = -(-own * (1 + asked(config).drafts) // config.degrees.tp)
    larger = f"write launch.environment.{DISPATCHED}={need}, or " if need <= DISPATCHED_MOST else "write "
    yield check(
        "sglang-dispatch-tokens",
        holds=own <= most,
        observed=f"{need} tokens",
        limit=f"{min(_tokens(config), DISPATCHED_MOST)} or fewer",
        message=f"SGLang's low-latency kernels have room for {DISPATCHED}={_tokens(config)} tokens of a rank, and {own} sequences have {need} "
        f"in a step of decode: --max-running-requests lets {most} of each attention DP rank run, and {max(own - most, 0)} wait",
        fix=f"{larger}a smaller workload.global_batch_size",
        otherwise=Status.WARN,
    )
