"""Every family: `model_type` -> its parts, in the order in which a later one wins.

Class defaults and other names of keys are in defaults.json (`python -m tests.family_defaults` writes it from transformers).
To add a family of known kinds of layers: an entry here, and a line there.
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.config.families import compressed, decoder, feeds, gemma, hybrid, mixers, own
from compiler.config.families.decoder import (
    activation,
    attention_and_mlp_bias,
    attention_bias,
    extra,
    layer_norm,
    layers,
    learned_positions,
    no_positions,
    norms,
    other,
    plain_mlp,
    positions,
    qkv_bias,
    rms,
    sizes,
)
from compiler.config.families.mixers import block, every, gated, head_norms, token_norms, windowed
from compiler.config.families.source import Part, always

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
NEXT: Parts = (sizes(), *DELTA, own.predicted)
EXAONE: Parts = (*LLAMA, head_norms, windowed(pattern="sliding_window_pattern", default=4))

DENSE: Mapping[str, Parts] = {
    "apertus": (*BIASED, plain_mlp, head_norms, extra("dense", plain=2)),
    "arcee": (*BIASED, plain_mlp),
    "baichuan": LLAMA,
    "bitnet": (*LLAMA, attention_bias, extra("full_attention", hidden=1), block("dense", inner_norm=True)),
    "bloom": (
        *GPT,
        own.wide_mlp,
        plain_mlp,
        always(attention_bias=True, mlp_bias=True, hidden_act="gelu"),
        always(**no_positions),
        other("embedding_norm", hidden=2),
    ),
    "cohere": (*COHERE, mixers.normed("use_qk_norm", "per_layer")),
    "cohere2": (*COHERE, windowed(pattern="sliding_window_pattern", default=4)),
    "cwm": (*LLAMA, windowed(every(4, 0))),
    "ernie4_5": (*LLAMA, decoder.biases(attention_bias="use_bias", mlp_bias="use_bias")),
    "exaone": BIASED,
    "exaone4": EXAONE,
    "falcon": (*GPT, own.falcon),
    "gemma": (*LLAMA, attention_bias, activation(default="gelu_pytorch_tanh")),
    "gemma2": (*GEMMA, SANDWICH, windowed(every(2))),
    "gemma3_text": (*GEMMA, SANDWICH, head_norms, windowed(pattern="sliding_window_pattern", default=6)),
    "gemma3n_text": (sizes(intermediate_size=""), layers(), attention_bias, gemma.gemma3n),
    "gemma4_text": (*GEMMA, gemma.gemma4),
    "glm": (*LLAMA, qkv_bias),
    "glm4": (*LLAMA, qkv_bias, SANDWICH),
    "gpt2": (*GPT, decoder.gpt2, learned_positions("n_positions")),
    "gpt_bigcode": (*GPT, decoder.gpt2, learned_positions("n_positions"), own.alone),
    "gpt_neo": (*GPT, own.wide_mlp, plain_mlp, own.gpt_neo, learned_positions()),
    "gpt_neox": (
        sizes(num_key_value_heads=""),
        layers(),
        layer_norm("layer_norm_eps"),
        plain_mlp,
        attention_bias,
        always(mlp_bias=True),
    ),
    "gptj": (*GPT, own.wide_mlp, plain_mlp, always(mlp_bias=True), norms(0, "dense"), other("head_bias", vocabulary=1)),
    "granite": BIASED,
    "granite_swa": (*BIASED, always(attention_sinks=True), windowed(every(4, 0))),
    "helium": BIASED,
    "hunyuan_v1_dense": (*LLAMA, attention_bias, head_norms),
    "hyperclovax": (*BIASED, own.post_norms),
    "internlm2": (*LLAMA, decoder.biases(attention_bias="bias")),
    "internlm3": BIASED,
    "iquestcoder": BIASED,
    "jais2": (*BIASED, layer_norm("layer_norm_eps"), plain_mlp),
    "llama": BIASED,
    "mimo": (*QWEN, qkv_bias),
    "minicpm": LLAMA,
    "minicpm3": MLA,
    "ministral": (*LLAMA, windowed()),
    "ministral3": (*LLAMA, windowed()),
    "mistral": (*LLAMA, windowed()),
    "mpt": (*GPT, own.mpt, plain_mlp, layer_norm(weights=1)),
    "nanochat": (*LLAMA, attention_bias, plain_mlp, always(norm_weights=0)),
    "nemotron": (*BIASED, layer_norm("norm_eps"), plain_mlp),
    "olmo": (*LLAMA, attention_bias, always(norm_weights=0)),
    "olmo2": (*LLAMA, attention_bias, token_norms),
    "olmo3": (*LLAMA, attention_bias, token_norms, windowed(every(4))),
    "opt": (
        sizes(num_key_value_heads="", head_dim="", intermediate_size="ffn_dim"),
        layer_norm(),
        plain_mlp,
        own.opt,
        learned_positions(more=2),
    ),
    "orion": (*LLAMA, layer_norm("rms_norm_eps")),
    "persimmon": (sizes(num_key_value_heads=""), layers(), layer_norm("layer_norm_eps"), plain_mlp, own.persimmon),
    "phi": (*LLAMA, layer_norm("layer_norm_eps"), plain_mlp, own.phi, other("head_bias", vocabulary=1)),
    "phi3": (*LLAMA, windowed()),
    "qwen": (*LLAMA, own.qwen1),
    "qwen2": (*QWEN, always(qkv_bias=True)),
    "qwen3": (*QWEN, attention_bias, head_norms),
    "seed_oss": (*LLAMA, qkv_bias, own.output_bias, decoder.biases(mlp_bias="mlp_bias")),
    "smollm3": (*BIASED, own.smollm3),
    "solar": BIASED,
    "stablelm": (*LLAMA, layer_norm("layer_norm_eps"), own.stablelm),
    "starcoder2": (
        *LLAMA,
        layer_norm("norm_epsilon"),
        plain_mlp,
        decoder.biases(attention_bias="use_bias", mlp_bias="use_bias"),
        windowed(),
    ),
    "telechat3": LLAMA,
    "vaultgemma": (*GEMMA, windowed(every(2))),
    "xverse": LLAMA,
    "youtu": MLA,
}
"""Families without experts or states."""

ROUTED: Mapping[str, Parts] = {
    "afmoe": (
        *LLAMA,
        attention_bias,
        SANDWICH,
        head_norms,
        gated(None),
        windowed(pattern="global_attn_every_n_layers", default=4),
        feeds.listed(COUNTED, first="num_dense_layers"),
        own.afmoe_router,
    ),
    "axk1": (*MLA, feeds.listed(default=1), feeds.deepseek_router(factor=2.5), norms(2, "sparse")),
    "bailing_moe": (
        *LLAMA,
        own.bailing_attention,
        feeds.listed(COUNTED),
        feeds.deepseek_router(scoring_func="softmax"),
    ),
    "beam": (
        *LLAMA,
        attention_bias,
        SANDWICH,
        head_norms,
        gated(None),
        own.beam,
        feeds.listed(COUNTED, first=3),
        feeds.deepseek_router(factor=2.5),
    ),
    "cohere2_moe": (
        *COHERE,
        windowed(pattern="sliding_window_pattern", default=4),
        feeds.listed({**COUNTED, "moe_intermediate_size": "intermediate_size"}),
        own.cohere2_moe,
    ),
    "dbrx": (*GPT, layer_norm(weights=1), own.dbrx, feeds.softmax),
    "deepseek": (*LLAMA, feeds.deepseek, feeds.deepseek_router(scoring_func="softmax", norm_topk_prob=False)),
    "deepseek_v2": (*LATENT, feeds.deepseek_router(scoring_func="softmax", norm_topk_prob=False)),
    "deepseek_v3": DEEPSEEK,
    "deepseek_v32": (*DEEPSEEK, mixers.indexed),
    "deepseek_v4": (
        sizes(intermediate_size=""),
        layers(),
        feeds.listed(first=0),
        feeds.deepseek_router(scoring_func="sqrtsoftplus", factor=1.5),
        compressed.layers,
        compressed.feeds,
    ),
    "dots1": (*LLAMA, attention_bias, head_norms, windowed(own.late), feeds.deepseek, feeds.deepseek_router()),
    "ernie4_5_moe": (*LLAMA, decoder.biases(attention_bias="use_bias", mlp_bias="use_bias"), own.ernie, feeds.softmax),
    "exaone_moe": (*EXAONE, feeds.listed(COUNTED), feeds.deepseek_router(factor=2.5)),
    "flex_olmo": (*LLAMA, attention_bias, token_norms, own.flat_experts, feeds.qwen_router),
    "flint": (
        *LLAMA,
        attention_bias,
        head_norms,
        always(attention_sinks=True),
        windowed(own.flint_full),
        feeds.qwen,
        own.flint_experts,
        feeds.qwen_router,
    ),
    "glm4_moe": GLM_MOE,
    "glm4_moe_lite": (*MLA, feeds.listed(first=1), feeds.deepseek_router(factor=1.8)),
    "glm_moe_dsa": (*DEEPSEEK, mixers.indexed),
    "gpt_oss": (
        sizes(),
        layers(rms_norm_eps=1e-5, rope_theta=150000.0),
        own.gpt_oss,
        windowed(every(2)),
        feeds.local,
        feeds.softmax,
    ),
    "granitemoe": EXPERTS,
    "granitemoe_swa": (*EXPERTS, always(attention_sinks=True), windowed(every(4, 0))),
    "granitemoeshared": EXPERTS,
    "hunyuan_v1_moe": (*LLAMA, attention_bias, head_norms, own.hunyuan),
    "hy_v3": (*LLAMA, attention_bias, head_norms, feeds.listed(COUNTED, first=1), own.hy_router),
    "kimi_k2": DEEPSEEK,
    "laguna": (
        *LLAMA,
        attention_bias,
        head_norms,
        own.laguna,
        feeds.listed(
            {
                "n_routed_experts": "num_experts",
                "n_shared_experts": "",
                "shared_width": "shared_expert_intermediate_size",
            },
            first=1,
        ),
        extra("sparse", plain=256),
    ),
    "llama4_text": (
        sizes(),
        layers(rms_norm_eps=1e-5, rope_theta=500000.0),
        own.llama4_layers,
        mixers.chunked,
        feeds.llama4,
        feeds.llama4_router,
    ),
    "longcat_flash": (
        sizes(num_hidden_layers="num_layers"),
        layers(),
        mixers.latent,
        own.longcat,
        feeds.deepseek_router(scoring_func="softmax", norm_topk_prob=False),
    ),
    "mellum": (
        *LLAMA,
        attention_bias,
        head_norms,
        windowed(),
        feeds.listed({"n_routed_experts": "num_experts"}, first=0),
        feeds.qwen_router,
    ),
    "mimo_v2_flash": (
        *LLAMA,
        qkv_bias,
        windowed(own.sixth),
        own.mimo_v2,
        feeds.listed(first=1),
        feeds.deepseek_router(),
    ),
    "minimax_m2": (*LLAMA, own.minimax_attention, feeds.local, feeds.minimax_router),
    "minimax_m3_vl_text": (*LLAMA, own.minimax_m3_experts, own.minimax_m3),
    "mistral4": (*LATENT, feeds.deepseek_router()),
    "mixtral": (sizes(), layers(rms_norm_eps=1e-5, rope_theta=1e6), windowed(), feeds.local, feeds.softmax),
    "olmoe": (*LLAMA, attention_bias, token_norms, own.flat_experts, feeds.qwen_router),
    "phimoe": (*LLAMA, layer_norm("rms_norm_eps"), own.phimoe, windowed(), feeds.local, feeds.softmax),
    "qwen2_moe": (*LLAMA, mixers.early, always(qkv_bias=True), own.qkv_flag, feeds.qwen, feeds.gated_shared),
    "qwen3_moe": (*QWEN, attention_bias, head_norms, feeds.qwen, feeds.qwen_router),
    "sarvam_mla": (*LATENT, feeds.deepseek_router(factor=2.5)),
    "sarvam_moe": GLM_MOE,
    "solar_open": (sizes(intermediate_size=""), *GLM_MOE[1:4], feeds.listed(first=0), feeds.deepseek_router()),
}
"""Families with routed experts."""

HYBRID: Mapping[str, Parts] = {
    "bailing_hybrid": (*MLA, feeds.listed(COUNTED), feeds.deepseek_router(factor=2.5), hybrid.bailing),
    "bamba": (*BIASED, hybrid.mamba2(), hybrid.bamba),
    "falcon_h1": (
        *BIASED,
        hybrid.mamba2("mamba2", d_ssm="mamba_d_ssm", gated_norm="mamba_rms_norm"),
        hybrid.side_by_side,
    ),
    "falcon_mamba": (hybrid.spaces("mamba"), rms("layer_norm_epsilon")),
    "granitemoehybrid": (
        *LLAMA,
        attention_bias,
        hybrid.mamba2(),
        mixers.linear("mamba2", rule=own.never),
        hybrid.granite_feed,
    ),
    "jamba": (*LLAMA, hybrid.mamba1, hybrid.jamba, feeds.softmax),
    "kimi_linear": (
        *MLA,
        feeds.listed(COUNTED, default=1),
        feeds.deepseek_router(factor=2.446),
        hybrid.kimi,
    ),
    "lfm2": (*LLAMA, rms("norm_eps"), head_norms, hybrid.convolution, hybrid.lfm2_mlp),
    "lfm2_moe": (
        *LLAMA,
        rms("norm_eps"),
        head_norms,
        hybrid.convolution,
        feeds.listed(COUNTED, first="num_dense_layers"),
        own.lfm2_router,
    ),
    "lfm3": (*LLAMA, rms("norm_eps"), attention_bias, head_norms, hybrid.convolution, own.lfm3),
    "mamba": (hybrid.spaces("mamba"), rms("layer_norm_epsilon")),
    "mamba2": (hybrid.spaces("mamba2"), rms("layer_norm_epsilon")),
    "minimax": (*LLAMA, feeds.local, feeds.softmax, mixers.linear("lightning", rule=every(2))),
    "nemotron_h": (
        sizes(num_hidden_layers="hidden_size"),
        layers(),
        rms("layer_norm_epsilon"),
        attention_and_mlp_bias,
        plain_mlp,
        hybrid.mamba2(
            n_heads="mamba_num_heads",
            d_head="mamba_head_dim",
            n_groups="n_groups",
            d_state="ssm_state_size",
            d_conv="conv_kernel",
            conv_bias="use_conv_bias",
            proj_bias="mamba_proj_bias",
        ),
        hybrid.nemotron_h,
        feeds.deepseek_router(),
    ),
    "olmo_hybrid": (*LLAMA, attention_bias, token_norms, hybrid.delta, mixers.linear("delta", rule=every(4))),
    "qwen3_5_moe_text": (
        sizes(intermediate_size=""),
        *DELTA,
        own.predicted,
        positions(partial_rotary_factor=0.25),
        own.plain_experts,
        feeds.gated_shared,
    ),
    "qwen3_5_text": (*NEXT, positions(partial_rotary_factor=0.25)),
    "qwen3_next": (*NEXT, positions(partial_rotary_factor=0.25), feeds.qwen, feeds.gated_shared),
    "recurrent_gemma": (
        *LLAMA,
        attention_bias,
        activation("hidden_activation", "gelu_pytorch_tanh"),
        hybrid.recurrent_gemma,
    ),
}
"""Families whose layers keep a state."""

FAMILIES: Mapping[str, Parts] = {**DENSE, **ROUTED, **HYBRID}

NAMED: Mapping[str, str] = {
    "bailing_moe_v2": "bailing_moe",
    "glm4v_moe_text": "glm4_moe",
    "glm4v_text": "glm4",
    "kimi_k25": "kimi_k2",
    "llama4": "llama4_text",
    "minimax_m3": "minimax_m3_vl_text",
    "minimax_text_01": "minimax",
    "qwen2_5_vl": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen2_vl": "qwen2",
    "qwen2_vl_text": "qwen2",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_vl": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "qwen3_vl_moe_text": "qwen3_moe",
    "qwen3_vl_text": "qwen3",
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
}
"""Other model_types of a family: whose layers are the same, or whose file describes it under `text_config`."""

WRAPPERS = frozenset(
    {
        "gemma3",
        "gemma3n",
        "gemma4",
        "kimi_k25",
        "llama4",
        "llava",
        "mistral3",
        "qwen3_5",
        "qwen3_5_moe",
        "qwen3_vl",
        "qwen3_vl_moe",
    }
)
"""model_types whose file says nothing of its language model but under `text_config`."""

LIKE: Mapping[str, str] = {
    "baichuan": "llama",
    "bailing_moe": "glm4_moe",
    "deepseek": "deepseek_v2",
    "internlm2": "llama",
    "kimi_k2": "deepseek_v3",
    "mimo": "qwen2",
    "minicpm": "llama",
    "orion": "llama",
    "qwen": "llama",
    "solar": "llama",
    "telechat3": "llama",
    "xverse": "llama",
}
"""Families whose class transformers does not have -> the family whose defaults are theirs."""

CORE = frozenset({"num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"})
"""What tells a model from others of its family: never taken from a class's defaults, but for the language model of a wrapper."""
