"""What several families have in common: tuples of parts."""

from __future__ import annotations

from compiler.config.families import decoder, feeds, hybrid, mixers, own_routed
from compiler.config.families.decoder import (
    activation,
    attention_and_mlp_bias,
    attention_bias,
    layer_norm,
    layers,
    norms,
    qkv_bias,
    sizes,
)
from compiler.config.families.mixers import gated, head_norms, windowed
from compiler.config.families.source import Part

Parts = tuple[Part, ...]

LLAMA: Parts = (sizes(), layers())
BIASED: Parts = (*LLAMA, attention_and_mlp_bias)
GEMMA: Parts = (*LLAMA, attention_bias, activation("hidden_activation", "gelu_pytorch_tanh"))
SANDWICH = norms(2, *decoder.BOTH)
QWEN: Parts = (*LLAMA, mixers.typed)
GPT: Parts = (sizes(intermediate_size="", num_key_value_heads="", head_dim=""), layer_norm())
EXPERTS: Parts = (*LLAMA, attention_bias, feeds.local, feeds.softmax)
MLA: Parts = (*LLAMA, mixers.latent)
LATENT: Parts = (*MLA, feeds.deepseek)
DEEPSEEK: Parts = (*LATENT, feeds.deepseek_router(factor=2.5))
GLM_MOE: Parts = (
    sizes(),
    layers(rms_norm_eps=1e-5, partial_rotary_factor=0.5),
    qkv_bias,
    mixers.normed("use_qk_norm"),
    feeds.deepseek,
    feeds.deepseek_router(),
)
COUNTED = {"n_routed_experts": "num_experts", "n_shared_experts": "num_shared_experts"}
COHERE: Parts = (*LLAMA, attention_bias, layer_norm("layer_norm_eps", weights=1), norms(0, "dense", "sparse"))
DELTA: Parts = (
    layers(),
    attention_bias,
    hybrid.delta,
    mixers.linear("delta", interval="full_attention_interval"),
    gated("attn_output_gate"),
    head_norms,
)
NEXT: Parts = (sizes(), *DELTA, own_routed.predicted)
EXAONE: Parts = (*LLAMA, head_norms, windowed(pattern="sliding_window_pattern", default=4))
