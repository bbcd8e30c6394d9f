"""Attention and MLP sizes against tensor and context parallelism."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks.adapter import adapter
from compiler.invariants.registry import declared
from compiler.specs.config import Config


def divides(name: str, what: str, size: int, degree: str, by: int, fix: str = "") -> Check:
    """`by`, the value of `degree`, divides `size`."""
    return check(
        name,
        size % by == 0,
        f"{size} % {by} = {size % by}",
        "0",
        f"{what} {size} over {degree}={by} is {size / by:g} each",
        fix or f"write {degree} as a divisor of {size}",
    )


@declared
def heads(config: Config) -> Iterator[Check]:
    """Each tp rank holds whole attention heads; KV heads are split or, where tp is larger, replicated."""
    model, tp = config.model, config.degrees.tp
    yield divides("attention-heads", "num_attention_heads", model.num_attention_heads, "tp", tp)
    if model.mla:
        yield check("kv-heads", True, "MLA", "any tp", "the latent KV cache of MLA is not split by tp", "")
        return
    kv = model.kv_heads
    if kv % tp == 0 or tp % kv:
        fix = f"write tp as a divisor or a multiple of {kv}"
        yield divides("kv-heads", "num_key_value_heads", kv, "tp", tp, fix)
        return
    yield check(
        "kv-heads",
        False,
        f"{tp // kv} copies",
        "1 copy",
        f"tp={tp} is larger than num_key_value_heads={kv}: each KV head is held {tp // kv} times, and so is the KV cache",
        f"write parallel.tp={kv} or less to save that memory",
        otherwise="warn",
    )


@declared
def widths(config: Config) -> Iterator[Check]:
    """Hidden, FFN and expert FFN widths are split without remainder; the vocabulary is padded."""
    model, degrees = config.model, config.degrees
    yield divides("hidden-size", "hidden_size", model.hidden_size, "tp", degrees.tp)
    if model.intermediate_size and not all(model.moe_layers):
        yield divides("ffn-size", "intermediate_size", model.intermediate_size, "tp", degrees.tp)
    if model.moe:
        yield divides("expert-ffn-size", "moe_intermediate_size", model.expert_size, "etp", degrees.etp)
    if model.shared_size:
        yield divides("shared-ffn-size", "shared experts' width", model.shared_size, "tp", degrees.tp)
    padded = adapter(config.framework.name).padded_vocab_size(config)
    added = padded - model.vocab_size
    yield check(
        "vocabulary",
        True,
        padded,
        model.vocab_size,
        f"vocab_size {model.vocab_size} is padded by {added} to {padded}, {padded // degrees.tp} rows a tp rank",
        "",
    )


def _rounded(config: Config, step: int) -> str:
    """Lengths up to the next multiple, as an override."""
    workload = config.workload
    if workload.train:
        return f"workload.sequence_length={-(-(workload.sequence_length or 1) // step) * step}"
    lengths = ",".join(str(-(-length // step) * step) for length in workload.sequence_lengths)
    return f"workload.sequence_lengths=[{lengths}]"


@declared
def context(config: Config) -> Iterator[Check]:
    """Sequences are cut in 2*cp pieces, so that causal attention is balanced."""
    cp, workload = config.degrees.cp, config.workload
    if cp == 1:
        return
    lengths = [workload.sequence_length] if workload.train else workload.sequence_lengths
    for length in lengths:
        if length is not None:
            yield divides(
                "sequence-length",
                "sequence of",
                length,
                "2*cp",
                2 * cp,
                f"write {_rounded(config, 2 * cp)}, multiples of {2 * cp}",
            )
