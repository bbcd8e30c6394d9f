"""What a workload asks of an inference server's passes: the part that reaches one server, and what no server can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.checks import Check, check, rule, warned
from compiler.frozen import dataclass
from compiler.specs.config import Config


@dataclass(frozen=True)
class Asked:
    """Tokens of a prompt in one pass (None: the server's own), tokens drafted by each step of decode, halves of a batch in
    turns, DeepEP's low-latency kernels in decode, and the precision of cached keys and values (None: as wide as activations).
    """

    chunk: int | None = None
    drafts: int = 0
    overlap: bool = False
    low_latency: bool = False
    cache: str | None = None


def asked(config: Config) -> Asked:
    """Of a pool only what its role does. Drafts are asked of both: prefill fills the KV cache of the layers that draft; and
    so is the cache, which goes from one to the other.
    """
    workload, moe = config.workload, config.model.moe
    if workload.train:
        return Asked()
    return Asked(
        chunk=None if workload.role == "decode" else workload.prefill_chunk,
        drafts=workload.draft_tokens,
        overlap=workload.two_batch_overlap and moe,
        low_latency=workload.low_latency_dispatch and moe and workload.role != "prefill",
        cache=workload.kv_cache_precision,
    )


def sequences(config: Config) -> int:
    """Sequences of one attention data-parallel rank."""
    return -(-config.workload.global_batch_size // config.degrees.adp)


def step_tokens(config: Config) -> int:
    """Tokens that one rank of attention data parallelism checks or decodes in a step, its drafts among them."""
    return sequences(config) * (1 + asked(config).drafts)


def args_key(config: Config) -> str:
    """Where the arguments of this server alone are written."""
    role = config.workload.role
    return f"workload.pools.{role}.args" if role else "framework.args"


@rule
def draft_layers(config: Config, where: str) -> Iterator[Check]:
    """Drafts are a multi-token-prediction layer's; `where` says what the server would load it by."""
    drafts, layers = asked(config).drafts, config.model.num_nextn_predict_layers
    if drafts:
        yield check(
            f"{config.framework.name}-draft-layers",
            holds=layers > 0,
            observed=f"{layers} layers",
            limit="1 or more",
            message=f"{where} drafts with the model's own multi-token-prediction layers: workload.draft_tokens={drafts}, and "
            f"{config.model.name} has model.num_nextn_predict_layers={layers}",
            fix="write workload.draft_tokens=0, or a model that has such layers",
        )


CACHE = "--kv-cache-dtype"
"""What vLLM and SGLang both call the precision of the KV cache."""


def cache_option(config: Config, names: Mapping[str, str]) -> tuple[str, ...]:
    """The option where a precision is asked for, by a server's own names of both."""
    asked_for = asked(config).cache
    return () if asked_for is None else (f"{CACHE}={names[asked_for]}",)


@rule
def cache_unsaid(config: Config, given: Mapping[str, str], source: str) -> Iterator[Check]:
    """A cache that only the user's arguments make narrow is costed as the server would keep it by itself."""
    if asked(config).cache is None and given.get(CACHE, "auto") != "auto":
        yield warned(
            f"{config.framework.name}-cache-unsaid",
            observed=given[CACHE],
            limit="auto",
            message=f"{source} is started with {CACHE}={given[CACHE]}, and the plan's memory and times are of a cache as wide as "
            "activations",
            fix=f"write workload.kv_cache_precision=fp8 or bf16 in the place of {CACHE}",
        )
