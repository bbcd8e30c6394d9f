"""Attention and MLP sizes against tensor and context parallelism."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.blocks.stack import stack
from compiler.checks import Check, check, failed, passed, warned
from compiler.frameworks.adapter import adapter
from compiler.invariants.registry import declared
from compiler.specs.config import Config


def divides(name: str, what: str, size: int, degree: str, by: int, fix: str = "") -> Check:
    """`by`, the value of `degree`, divides `size`."""
    return check(
        name,
        holds=size % by == 0,
        observed=f"{size} % {by} = {size % by}",
        limit="0",
        message=f"{what} {size} over {degree}={by} is {size / by:g} each",
        fix=fix or f"write {degree} as a divisor of {size}",
    )


@declared()
def heads(config: Config) -> Iterator[Check]:
    """Each tp rank holds whole attention heads; KV heads are split or, where tp is larger, replicated."""
    model, tp = config.model, config.degrees.tp
    yield divides("attention-heads", "num_attention_heads", model.num_attention_heads, "tp", tp)
    if model.mla:
        yield passed(
            "kv-heads", observed="MLA", limit="any tp", message="the latent KV cache of MLA is not split by tp"
        )
        return
    kv = model.kv_heads
    if model.num_attention_heads % kv:
        yield failed(
            "kv-groups",
            observed=f"{model.num_attention_heads} / {kv}",
            limit="a whole number",
            message=f"num_attention_heads {model.num_attention_heads} over num_key_value_heads {kv} is "
            f"{model.num_attention_heads / kv:.6g} each",
            fix="write model.num_key_value_heads as a divisor of model.num_attention_heads",
        )
    if kv % tp == 0 or tp % kv:
        fix = f"write tp as a divisor or a multiple of {kv}"
        yield divides("kv-heads", "num_key_value_heads", kv, "tp", tp, fix)
        return
    yield warned(
        "kv-heads",
        observed=f"{tp // kv} copies",
        limit="1 copy",
        message=f"tp={tp} is larger than num_key_value_heads={kv}: each KV head is held {tp // kv} times, and so is the KV cache",
        fix=f"write parallel.tp={kv} or less to save that memory",
    )


@declared()
def states(config: Config) -> Iterator[Check]:
    """What keeps a state of a sequence is dealt out by heads, groups or channels; one group alone is copied (vLLM mamba_mixer2.py,
    SGLang qwen3_next.py, Megatron-LM mamba_mixer.py), and so are groups of DeepSeek-V4's outputs, but for the copy. What has keys and values beside it is dealt out, and copied, as these are.
    """
    tp = config.degrees.tp
    for block in dict.fromkeys(block for layer in stack(config.model).layers for block in layer):
        if block.kind == "compressed":
            groups = block.matrices[-1].rows.pieces
            yield divides("output-groups", "o_groups of compressed attention", groups, "tp", tp)
        for pieces in dict.fromkeys(part.pieces for part in block.state if part.pieces > 1 and not block.caches):
            what = f"heads, groups or channels of {block.kind.replace('_', ' ')}"
            yield divides("state-heads", what, pieces, "tp", tp)


@declared()
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
    yield passed(
        "vocabulary",
        observed=padded,
        limit=model.vocab_size,
        message=f"vocab_size {model.vocab_size} is padded by {added} to {padded}, {padded // degrees.tp} rows a tp rank",
    )


@declared()
def context(config: Config) -> Iterator[Check]:
    """Sequences are cut in 2*cp pieces, so that causal attention is balanced. A server pads its prompts, which come as they are."""
    cp, workload = config.degrees.cp, config.workload
    if workload.train and cp > 1 and workload.sequence_length is not None:
        length, step = workload.sequence_length, 2 * cp
        fix = f"write workload.sequence_length={-(-length // step) * step}, a multiple of {step}"
        yield divides("sequence-length", "sequence of", length, "2*cp", step, fix)
