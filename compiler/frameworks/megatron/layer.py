"""What a layer does beside its sizes, as Megatron's arguments: norms, activation, softmax, dropout and routing.

Megatron's own defaults are of GPT-2. `framework.args` may say otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.frameworks.megatron import hybrid
from compiler.frameworks.megatron.pipeline import Option
from compiler.specs.config import Config
from compiler.specs.model import Model

GATED: dict[str, tuple[Option, ...]] = {
    "silu": (("--swiglu",),),
    "swigluoai": (("--quick-geglu",), ("--glu-linear-offset", "1.0")),
    "quick_gelu": (("--quick-geglu",),),
}
PLAIN: dict[str, tuple[Option, ...]] = {
    "gelu": (),
    "gelu_new": (),
    "gelu_pytorch_tanh": (),
    "relu2": (("--squared-relu",), ("--no-bias-gelu-fusion",)),
}
"""Activation -> options, of MLPs with a gate and without."""


def options(config: Config) -> Iterator[Option]:
    model = config.model
    yield "--normalization", "RMSNorm" if model.rms_norm else "LayerNorm"
    yield "--norm-epsilon", f"{model.norm_epsilon:g}"
    if model.mla or (model.use_qk_norm and model.qk_norm_type == "per_head"):
        yield ("--qk-layernorm",)
    if not model.mla and model.use_qk_norm and model.qk_norm_type == "l2":
        yield ("--qk-l2-norm",)
    if model.qkv_bias:
        yield ("--add-qkv-bias",)
    yield from (GATED if model.gated_mlp else PLAIN).get(model.activation, ())
    if model.activation == "swigluoai" and model.swiglu_limit is not None:
        yield "--activation-func-clamp-value", f"{model.swiglu_limit:g}"
    if model.attention_sinks:
        yield "--softmax-type", "learnable"
    yield "--attention-dropout", f"{model.attention_dropout:g}"
    yield "--hidden-dropout", f"{model.hidden_dropout:g}"
    if model.initializer_range is not None:
        yield "--init-method-std", f"{model.initializer_range:g}"
    if model.moe:
        yield from router(model)


def router(model: Model) -> Iterator[Option]:
    """Softmax over the chosen experts alone makes their scores add up to 1; over all of them (pre-softmax) it does not."""
    yield "--moe-router-score-function", model.scoring_func
    yield "--moe-router-dtype", "fp32"
    if model.scoring_func == "softmax" and (not model.norm_topk_prob or model.num_experts_per_tok == 1):
        yield ("--moe-router-pre-softmax",)
    if biased(model):
        yield ("--moe-router-enable-expert-bias",)
    if model.routed_scaling_factor != 1:
        yield "--moe-router-topk-scaling-factor", f"{model.routed_scaling_factor:g}"
    if model.shared_size and model.shared_expert_gate:
        yield ("--moe-shared-expert-gate",)
    if model.scale_expert_inputs:
        yield ("--moe-apply-probs-on-input",)
    if model.router_jitter_noise:
        yield "--moe-input-jitter-eps", f"{model.router_jitter_noise:g}"
    if model.router_aux_loss_coef:
        yield "--moe-router-load-balancing-type", "seq_aux_loss" if model.seq_aux else "aux_loss"
        yield "--moe-aux-loss-coeff", f"{model.router_aux_loss_coef:g}"
    elif biased(model):
        yield "--moe-router-load-balancing-type", "none"


def biased(model: Model) -> bool:
    """Whether experts are chosen with a bias, which softmax has none of (transformer_config.py)."""
    return model.use_routing_bias and model.scoring_func != "softmax"


def all_biases(model: Model) -> bool:
    """Megatron has biases in every projection, MLP and router, or (with --add-qkv-bias) in three projections."""
    return model.attention_bias and model.mlp_bias


def unsaid(config: Config) -> Iterator[tuple[str, Any, str]]:
    """Key, value and why it gets lost."""
    model = config.model
    known = GATED if model.gated_mlp else PLAIN
    if model.activation not in known:
        yield "hidden_act", model.activation, f"{'gated' if model.gated_mlp else 'plain'} MLPs have {', '.join(known)}"
    if model.swiglu_limit is not None and model.activation != "swigluoai":
        yield "swiglu_limit", model.swiglu_limit, "--activation-func-clamp-value goes with --quick-geglu"
    if model.use_qk_norm and model.qk_norm_type == "per_layer":
        yield "qk_norm_type", "per_layer", "--qk-layernorm is over each head"
    for key, other in (("attention_bias", model.mlp_bias), ("mlp_bias", model.attention_bias)):
        if getattr(model, key) and not other:
            yield key, "true", "biases are in all of attention and MLPs, in queries, keys and values alone, or nowhere"
    if model.attention_chunk_size:
        yield "attention_chunk_size", model.attention_chunk_size, "it has windows, and the chunk is taken for one"
    yield from hybrid.lost(model)
    if model.moe:
        yield from _unsaid_of_routing(model)


def _unsaid_of_routing(model: Model) -> Iterator[tuple[str, Any, str]]:
    if model.scoring_func != "softmax" and not model.norm_topk_prob and model.num_experts_per_tok > 1:
        yield (
            "norm_topk_prob",
            "false",
            f"scores of {model.scoring_func} are always divided by their sum (moe_utils.py)",
        )
    if model.use_routing_bias and not biased(model):
        yield "use_routing_bias", "true", "--moe-router-enable-expert-bias needs sigmoid scores"
    if model.n_group > 1 and model.scoring_func == "softmax":
        yield (
            "n_group",
            model.n_group,
            "groups are chosen by the sum of their best scores (moe_utils.py), not by the best one",
        )
    if model.scale_expert_inputs and model.num_experts_per_tok > 1:
        yield "scale_expert_inputs", "true", "--moe-apply-probs-on-input is for one expert a token"
