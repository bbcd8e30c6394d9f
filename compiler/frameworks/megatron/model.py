"""The model's architecture as Megatron's arguments."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.frameworks.megatron import hybrid
from compiler.frameworks.megatron.layer import all_biases
from compiler.frameworks.megatron.patterns import pattern
from compiler.frameworks.megatron.pipeline import Option
from compiler.specs.config import Config
from compiler.specs.model import Model


def options(config: Config) -> list[Option]:
    """The sizes that the plan counts with, and biases, which it leaves out."""
    model = config.model
    other = list(hybrid.options(model))
    found: list[Option] = [
        ("--num-layers", str(model.num_hidden_layers)),
        ("--hidden-size", str(model.hidden_size)),
        ("--num-attention-heads", str(model.num_attention_heads)),
        ("--vocab-size", str(model.vocab_size)),
    ]
    if not all_biases(model):
        found.append(("--disable-bias-linear",))
    if model.intermediate_size:
        found.append(("--ffn-hidden-size", str(model.intermediate_size)))
    if not model.tie_word_embeddings:
        found.append(("--untie-embeddings-and-output-weights",))
    if model.num_nextn_predict_layers:
        found.append(("--mtp-num-layers", str(model.num_nextn_predict_layers)))
    return [*found, *_attention(model), *_windows(model), *_experts(model), *other]


def _attention(model: Model) -> Iterator[Option]:
    """Multi-head, grouped-query or latent attention."""
    if not model.mla:
        yield "--kv-channels", str(model.head_size)
        if model.kv_heads != model.num_attention_heads:
            yield ("--group-query-attention",)
            yield "--num-query-groups", str(model.kv_heads)
        return
    nope = model.qk_nope_head_dim or 0
    value = model.v_head_dim or nope
    yield ("--multi-latent-attention",)
    yield "--kv-channels", str(value)
    if model.q_lora_rank is not None:
        yield "--q-lora-rank", str(model.q_lora_rank)
    yield "--kv-lora-rank", str(model.kv_lora_rank)
    yield "--qk-head-dim", str(nope)
    yield "--qk-pos-emb-head-dim", str(model.qk_rope_head_dim or 0)
    yield "--v-head-dim", str(value)


def _windows(model: Model) -> Iterator[Option]:
    """A window of W tokens reaches W-1 to the left; 1 marks the layers that have it."""
    width, marks = model.sliding_window, [int(window is not None) for window in model.windows]
    if width is None or not any(marks):
        return
    yield "--window-size", f"{width - 1},0"
    if not all(marks):
        yield "--window-attn-skip-freq", pattern(marks)


def _experts(model: Model) -> Iterator[Option]:
    if not model.moe:
        return
    yield "--num-experts", str(model.num_experts)
    yield "--moe-router-topk", str(model.num_experts_per_tok)
    yield "--moe-ffn-hidden-size", str(model.expert_size)
    if model.shared_size:
        yield "--moe-shared-expert-intermediate-size", str(model.shared_size)
    if model.moe_latent_size:
        yield "--moe-latent-size", str(model.moe_latent_size)
    if not all(model.moe_layers):
        yield "--moe-layer-freq", pattern([int(routed) for routed in model.moe_layers])
    if model.n_group > 1:
        yield "--moe-router-num-groups", str(model.n_group)
        yield "--moe-router-group-topk", str(model.topk_group)
