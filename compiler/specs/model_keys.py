"""The keys of a model: the field names of a Hugging Face `config.json`, and what says more than these do."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.fields import MISSING, between, choice, counts, numbers, quantity, text
from compiler.specs.limits import EXPERTS, LAYERS, PARAMETERS, TOKENS, VOCABULARY, WIDTH
from compiler.specs.rope import RopeScaling
from compiler.specs.weights import Quantization

BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "mxfp8": 1.03125, "fp4": 0.5, "nvfp4": 0.5625}
"""Bytes of one element by precision. MXFP8 has a one-byte scale for 32 elements, NVFP4 for 16; others' scales are left out."""


_EPSILON = (0.0, 0.1)


def _parameters() -> Any:
    return quantity("parameters", (1, PARAMETERS), (1e6, 1e15), None)


@dataclass(frozen=True)
class Declared:
    """Parameter counts that somebody states; each class may be left out."""

    params: Optional[float] = _parameters()
    """All."""
    dense_params: Optional[float] = _parameters()
    """All but experts."""
    moe_params: Optional[float] = _parameters()
    """Experts."""


@dataclass(frozen=True)
class ModelKeys:
    """A decoder-only model: a list of layers, by default of grouped-query or latent attention (MLA) and an MLP or experts.

    Where no epsilon of a norm is given it is what a gated MLP (RMSNorm) or a plain one (LayerNorm) usually comes with.
    """

    name: str = MISSING
    """A name for the model."""
    model_type: Optional[str] = text(None, longest=64)
    """The family, in transformers' words, that a server knows it by."""
    architectures: Optional[list[str]] = None
    """The class that loads the checkpoint, by which servers choose much of what they do."""
    dtype: str = choice(tuple(BYTES), "bf16")
    """Precision of weights that are not quantised."""
    num_hidden_layers: int = between(1, LAYERS)
    """Layers."""
    hidden_size: int = between(1, WIDTH)
    """Width of a token."""
    num_attention_heads: int = between(1, WIDTH)
    """Heads of queries."""
    num_key_value_heads: Optional[int] = between(1, WIDTH, None)
    """Heads of keys and values; as many as of queries where it is null."""
    head_dim: Optional[int] = between(1, WIDTH, None)
    """Width of a head; hidden size over heads where it is null."""
    intermediate_size: int = between(0, WIDTH, 0)
    """Hidden width of a dense MLP."""
    vocab_size: int = between(1, VOCABULARY)
    """Rows of the embedding."""
    tie_word_embeddings: bool = False
    """Whether embedding and head are one matrix."""
    gated_mlp: bool = True
    """Whether MLPs have a gate."""
    hidden_act: Optional[str] = text(None, longest=64)
    """Activation of MLPs, in transformers' words; `swigluoai` is GPT-OSS's, clamped and offset by 1. SiLU where it is null and MLPs are gated, else GELU."""
    swiglu_limit: Optional[float] = between(0.0, 1e6, None)
    """What `swigluoai` is clamped at."""
    mlp_bias: bool = False
    """Biases of MLPs, experts and routers."""
    rms_norm_eps: Optional[float] = between(*_EPSILON, None)
    """Norms are RMSNorm, with this epsilon."""
    layer_norm_epsilon: Optional[float] = between(*_EPSILON, None)
    """Norms are LayerNorm, with this epsilon."""
    attention_bias: bool = False
    """Biases of all four projections of attention."""
    qkv_bias: bool = False
    """Biases of three."""
    use_qk_norm: bool = False
    """Norms of queries and keys."""
    qk_norm_type: str = choice(("per_head", "per_layer", "l2"), "per_head")
    """Over each head, over all heads of a token, or without weights (L2)."""
    attention_sinks: bool = False
    """A learned logit a head beside those of the tokens."""
    attention_dropout: float = between(0.0, 1.0, 0.0)
    """Dropout of attention's scores."""
    hidden_dropout: float = between(0.0, 1.0, 0.0)
    """Dropout of what layers add."""
    initializer_range: Optional[float] = between(0.0, 10.0, None)
    """Spread of initial weights; the framework's own where it is null."""
    position_embedding_type: str = choice(("rope", "absolute", "none"), "rope")
    """Rotations, a learned table, or nothing."""
    max_position_embeddings: Optional[int] = between(1, TOKENS, None)
    """Positions that the model knows."""
    rope_theta: float = between(1.0, 1e15, 10000.0)
    """Base of the rotations."""
    rope_scaling: RopeScaling = field(default_factory=RopeScaling)
    """How rotations are scaled."""
    partial_rotary_factor: float = between(0.0, 1.0, 1.0)
    """Part of a head that is rotated."""
    no_rope_layers: Optional[list[int]] = numbers(0, 1, LAYERS, None)
    """1 where a layer rotates, 0 where it does not, as in Llama 4's files."""
    num_experts: int = between(0, EXPERTS, 0)
    """Routed experts of a MoE layer; 0 for a dense model."""
    num_experts_per_tok: int = between(0, EXPERTS, 0)
    """Experts of a token."""
    moe_intermediate_size: Optional[int] = between(1, WIDTH, None)
    """Hidden width of an expert; that of a dense MLP where it is null."""
    num_shared_experts: int = between(0, EXPERTS, 0)
    """Experts that every token meets."""
    shared_expert_intermediate_size: Optional[int] = between(1, WIDTH, None)
    """Hidden width of all of these together; as many experts' where it is null."""
    first_k_dense_replace: int = between(0, LAYERS, 0)
    """First layers that are dense."""
    moe_layer_freq: Any = 1
    """A MoE layer every so many, or a list of 0 and 1."""
    n_group: int = between(1, EXPERTS, 1)
    """Groups of experts that routing chooses among."""
    topk_group: int = between(1, EXPERTS, 1)
    """Groups of a token."""
    scoring_func: str = choice(("softmax", "sigmoid", "sqrtsoftplus"), "softmax")
    """How the router scores."""
    norm_topk_prob: bool = True
    """Scores of chosen experts are divided by their sum."""
    routed_scaling_factor: float = between(0.0, 1e6, 1.0)
    """What routed experts' outputs are multiplied by."""
    use_routing_bias: bool = False
    """Experts are chosen by scores with a bias that balances them."""
    scale_expert_inputs: bool = False
    """Scores multiply what goes into experts."""
    shared_expert_gate: bool = False
    """Shared experts have a gate."""
    router_aux_loss_coef: float = between(0.0, 1e6, 0.0)
    """Weight of the balance loss."""
    seq_aux: bool = False
    """Whether that loss is over each sequence."""
    router_jitter_noise: float = between(0.0, 1.0, 0.0)
    """Noise of the router in training."""
    num_nextn_predict_layers: int = between(0, LAYERS, 0)
    """Layers that predict further tokens (MTP)."""
    q_lora_rank: Optional[int] = between(1, WIDTH, None)
    """Of MLA: width of compressed queries."""
    kv_lora_rank: Optional[int] = between(1, WIDTH, None)
    """Of MLA: width of compressed keys and values; MLA where it is given."""
    qk_nope_head_dim: Optional[int] = between(1, WIDTH, None)
    """Of MLA: width of a head that is not rotated."""
    qk_rope_head_dim: Optional[int] = between(1, WIDTH, None)
    """Of MLA: width that is rotated."""
    v_head_dim: Optional[int] = between(1, WIDTH, None)
    """Of MLA: width of a head's values."""
    sliding_window: Optional[int] = between(1, TOKENS, None)
    """Tokens that a windowed layer looks back; full attention where it is null."""
    layer_types: Optional[list[str]] = None
    """What mixes the tokens of each layer, in transformers' words, or in those of `blocks`."""
    attention_chunk_size: Optional[int] = between(1, TOKENS, None)
    """Tokens of a chunk of chunked attention."""
    index_topk: Optional[int] = between(1, TOKENS, None)
    """Tokens that an indexer chooses for attention."""
    index_n_heads: Optional[int] = between(1, WIDTH, None)
    """Heads of the indexer; 64 where it is null."""
    index_head_dim: Optional[int] = between(1, WIDTH, None)
    """Width of the keys that the indexer looks through, and caches; 128 where it is null."""
    mlp_layer_types: Optional[list[str]] = None
    """What follows the mixer of each layer: dense or sparse, several joined by a +, "none" where there is nothing."""
    blocks: dict[str, Any] = field(default_factory=dict)
    """What is behind a word of `layer_types` or `mlp_layer_types`: its kind, and the sizes that differ from the model's own keys (`compiler/blocks/kinds.py`)."""
    norm_weights: Optional[int] = between(0, 2, None)
    """Weights of a norm for each element; 2 where it has a bias."""
    moe_latent_size: Optional[int] = between(1, WIDTH, None)
    """Width that experts work in, where it is not that of a token."""
    zero_expert_num: int = between(0, EXPERTS, 0)
    """Experts that do nothing."""
    other_params: dict[str, float] = counts(PARAMETERS)
    """Weights beside layers, embedding and head, such as a table of positions."""
    towers: dict[str, float] = counts(PARAMETERS)
    """Weights of parts that read images or sound, which no count of the language model includes."""
    quantization: Quantization = field(default_factory=Quantization)
    """How the checkpoint stores its weights."""
    declared: Declared = field(default_factory=Declared)
    """Parameter counts that somebody states."""
    hf_config: Optional[str] = None
    """The path of a Hugging Face `config.json`, or of its folder: it replaces the whole model."""
    assumed: list[str] = field(default_factory=list)
    """Keys that no source gives."""
