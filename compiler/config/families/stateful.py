"""Families whose layers keep a state."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.config.families import again, feeds, hybrid, mixers, own, own_routed, states
from compiler.config.families.common import (
    BIASED,
    COUNTED,
    DELTA,
    LLAMA,
    MLA,
    NEXT,
    Parts,
)
from compiler.config.families.decoder import (
    activation,
    attention_and_mlp_bias,
    attention_bias,
    layers,
    plain_mlp,
    positions,
    rms,
    sizes,
)
from compiler.config.families.mixers import every, head_norms, token_norms

HYBRID: Mapping[str, Parts] = {
    "bailing_hybrid": (*MLA, feeds.listed(COUNTED), feeds.deepseek_router(factor=2.5), hybrid.bailing),
    "bamba": (*BIASED, states.mamba2(), states.bamba),
    "falcon_h1": (
        *BIASED,
        states.mamba2("mamba2", d_ssm="mamba_d_ssm", gated_norm="mamba_rms_norm"),
        states.side_by_side,
    ),
    "falcon_mamba": (states.spaces("mamba"), rms("layer_norm_epsilon")),
    "granitemoehybrid": (
        *LLAMA,
        attention_bias,
        states.mamba2(),
        mixers.linear("mamba2", rule=own.never),
        states.granite_feed,
    ),
    "jamba": (*LLAMA, states.mamba1(inner_norms=True), states.jamba, feeds.softmax),
    "kimi_linear": (
        *MLA,
        feeds.listed(COUNTED, default=1),
        feeds.deepseek_router(factor=2.446),
        hybrid.kimi,
    ),
    "lara_mini": (
        sizes(intermediate_size=""),
        layers(),
        attention_bias,
        head_norms,
        hybrid.delta,
        hybrid.lara_mini,
        own_routed.plain_experts,
        feeds.qwen_router,
    ),
    "lfm2": (*LLAMA, rms("norm_eps"), head_norms, hybrid.convolution, hybrid.lfm2_mlp),
    "lfm2_moe": (
        *LLAMA,
        rms("norm_eps"),
        head_norms,
        hybrid.convolution,
        feeds.listed(COUNTED, first="num_dense_layers"),
        own_routed.lfm2_router,
    ),
    "lfm3": (*LLAMA, rms("norm_eps"), attention_bias, head_norms, hybrid.convolution, own.lfm3),
    "mamba": (states.spaces("mamba"), rms("layer_norm_epsilon")),
    "mamba2": (states.spaces("mamba2"), rms("layer_norm_epsilon")),
    "minimax": (*LLAMA, feeds.local, feeds.softmax, hybrid.minimax),
    "nemotron_h": (
        sizes(num_hidden_layers="hidden_size"),
        layers(),
        rms("layer_norm_epsilon"),
        attention_and_mlp_bias,
        plain_mlp,
        states.mamba2(
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
        own_routed.predicted,
        positions(partial_rotary_factor=0.25),
        own_routed.plain_experts,
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
    "zamba": (
        sizes(head_dim="", intermediate_size=""),
        layers(),
        states.mamba1(),
        again.zamba,
    ),
    "zamba2": (
        sizes(head_dim="", intermediate_size=""),
        layers(),
        states.mamba2(
            n_heads="n_mamba_heads",
            n_groups="mamba_ngroups",
            d_head="mamba_headdim",
            conv_bias="use_conv_bias",
            proj_bias="add_bias_linear",
        ),
        again.zamba2,
    ),
}
"""Families whose layers keep a state."""
