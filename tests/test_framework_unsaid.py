"""What a model's file says and a framework has no option for: each is told with its value, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from tests.configs import changed, composed

YARN = {"model.rope_scaling.rope_type": "yarn", "model.rope_scaling.factor": 4.0}
LLAMA3 = {"model.rope_scaling.rope_type": "llama3"}


def told(framework: str, model: str, values: dict[str, Any]) -> list[Check]:
    config = composed(f"framework={framework}", "workload=train", f"model={model}", "parallel=adp1024")
    return [item for item in adapter(framework).declared(changed(config, values)) if item.id == f"{framework}-model"]


@pytest.mark.parametrize("framework", ["megatron", "maxtext"])
@pytest.mark.parametrize("model", ["llama3_1_8b", "mixtral_8x7b", "qwen3_30b_a3b", "gpt_oss_120b", "deepseek_v3"])
def test_everything_of_the_usual_models_is_told_to_the_framework(framework: str, model: str) -> None:
    assert [(item.status, item.observed) for item in told(framework, model, {})] == [("pass", "all of it")]


MEGATRON: list[tuple[str, dict[str, Any], str, str]] = [
    # model, what is changed, what gets lost, why
    ("llama3_1_8b", {"model.hidden_act": "relu2"}, "hidden_act=relu2", "gated MLPs have silu, swigluoai, quick_gelu"),
    ("gpt3_175b", {"model.hidden_act": "silu"}, "hidden_act=silu", "plain MLPs have gelu, gelu_new, gelu_pytorch_tanh, relu2"),
    ("llama3_1_8b", {"model.swiglu_limit": 10.0}, "swiglu_limit=10.0", "goes with --quick-geglu"),
    ("llama3_1_8b", {"model.use_qk_norm": True, "model.qk_norm_type": "per_layer"}, "qk_norm_type=per_layer", "over each head"),
    ("llama3_1_8b", {"model.attention_bias": True}, "attention_bias=true", "biases are in all of attention and MLPs"),
    ("llama3_1_8b", {"model.mlp_bias": True}, "mlp_bias=true", "biases are in all of attention and MLPs"),
    ("llama3_1_8b", {"model.attention_chunk_size": 8192}, "attention_chunk_size=8192", "taken for one"),
    ("deepseek_v3", {"model.norm_topk_prob": False}, "norm_topk_prob=false", "scores of sigmoid are always divided by their sum"),
    ("mixtral_8x7b", {"model.use_routing_bias": True}, "use_routing_bias=true", "needs sigmoid scores"),
    ("mixtral_8x7b", {"model.n_group": 4, "model.topk_group": 2}, "n_group=4", "not by the best one"),
    ("mixtral_8x7b", {"model.scale_expert_inputs": True}, "scale_expert_inputs=true", "for one expert a token"),
    ("mixtral_8x7b", {"model.rope_theta": 10000.5}, "rope_theta=10000.5", "takes whole numbers"),
    ("mixtral_8x7b", {"model.rope_scaling.rope_type": "longrope"}, "rope_scaling.rope_type=longrope", "it knows default, yarn, llama3, linear"),
    ("deepseek_v3", LLAMA3, "rope_scaling.rope_type=llama3", "it knows default, yarn, and rotates"),
    ("mixtral_8x7b", {**YARN, "framework.version": "0.16.1"}, "rope_scaling.rope_type=yarn", "came with 0.19"),
    ("mixtral_8x7b", {"model.rope_scaling.rope_type": "linear", "model.rope_scaling.factor": 2.5}, "rope_scaling.factor=2.5", "takes whole numbers"),
    ("mixtral_8x7b", {**YARN, "model.rope_scaling.attention_factor": 1.5}, "rope_scaling.attention_factor=1.5", "out of --mscale"),
    ("kimi_k2", {}, "rope_scaling.beta_fast=1.0", "its own 32 has no option"),
    ("llama3_1_8b", {"model.rope_scaling.low_freq_factor": 2.0}, "rope_scaling.low_freq_factor=2.0", "its own 1 has no option"),
    ("llama3_1_8b", {"model.rope_scaling.factor": 32.0}, "rope_scaling.factor=32.0", "leaves --rope-scaling-factor out, and 8 stays"),
]  # fmt: skip

MAXTEXT: list[tuple[str, dict[str, Any], str, str]] = [
    ("llama3_1_8b", {"model.hidden_act": "relu2"}, "hidden_act=relu2", "mlp_activations is silu-linear in its place"),
    ("llama3_1_8b", {"model.swiglu_limit": 10.0}, "swiglu_limit=10.0", "mlp_activations_limit is GPT-OSS's"),
    ("llama3_1_8b", {"model.rms_norm_eps": None, "model.layer_norm_epsilon": 1e-5}, "layer_norm_epsilon=1e-05", "are RMSNorm"),
    ("deepseek_v3", {"model.use_qk_norm": True}, "use_qk_norm=true", "decoder_block=deepseek has"),
    ("mixtral_8x7b", {"model.qkv_bias": True}, "qkv_bias=true", "attention of decoder_block=mixtral has none"),
    ("mixtral_8x7b", {"model.attention_bias": True}, "attention_bias=true", "attention of decoder_block=mixtral has none"),
    ("mixtral_8x7b", {"model.mlp_bias": True}, "mlp_bias=true", "MLPs of decoder_block=mixtral have none"),
    ("llama3_1_8b", {"model.sliding_window": 4096}, "sliding_window=4096", "0 of the layers of decoder_block=llama2"),
    ("deepseek_v3", {"model.index_topk": 2048}, "index_topk=2048", "without an indexer"),
    ("llama3_1_8b", {"model.attention_dropout": 0.1}, "attention_dropout=0.1", "the hidden states'"),
    ("llama3_1_8b", {"model.position_embedding_type": "none"}, "position_embedding_type=none", "all of its layers rotate"),
    ("llama3_1_8b", {"model.partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5", "whole heads rotate"),
    ("mixtral_8x7b", {"model.rope_scaling.rope_type": "longrope"}, "rope_scaling.rope_type=longrope", "rope_type knows default, linear, llama3, yarn"),
    ("mixtral_8x7b", {**YARN, "model.rope_scaling.attention_factor": 1.5}, "rope_scaling.attention_factor=1.5", "out of mscale"),
    ("llama3_1_8b", {"model.rope_scaling.factor": 32.0}, "rope_scaling.factor=32.0", "its own 8 has no key"),
    ("mixtral_8x7b", {"model.rope_theta": 10000.5}, "rope_theta=10000.5", "whole numbers"),
    ("llama3_1_8b", {"model.no_rope_layers": [0, 1, 1, *[1] * 29]}, "no_rope_layers=irregular", "a period"),
    ("mixtral_8x7b", {"model.scoring_func": "sigmoid"}, "scoring_func=sigmoid", "decoder_block=mixtral has no routed_score_func"),
    ("mixtral_8x7b", {"model.use_routing_bias": True}, "use_routing_bias=true", "adds its bias to the scores themselves"),
    ("mixtral_8x7b", {"model.routed_scaling_factor": 2.5}, "routed_scaling_factor=2.5", "does not scale"),
    ("mixtral_8x7b", {"model.norm_topk_prob": False}, "norm_topk_prob=false", "divides by the sum: True"),
    ("deepseek_v3", {"model.use_routing_bias": False}, "n_group=8", "groups are for models called deepseek3-671b"),
    ("deepseek_v3", {"model.shared_expert_gate": True}, "shared_expert_gate=true", "have no gate"),
    ("mixtral_8x7b", {"model.router_jitter_noise": 0.01}, "router_jitter_noise=0.01", "no noise"),
]  # fmt: skip


DEEPSPEED: list[tuple[str, dict[str, Any], str, str]] = [
    ("mixtral_8x7b", {"model.scoring_func": "sigmoid"}, "scoring_func=sigmoid", "gates are a softmax"),
    ("mixtral_8x7b", {"model.use_routing_bias": True}, "use_routing_bias=true", "by their gates alone"),
    ("mixtral_8x7b", {"model.n_group": 2}, "n_group=2", "experts have no groups"),
    ("mixtral_8x7b", {"model.routed_scaling_factor": 2.5}, "routed_scaling_factor=2.5", "gates are not scaled"),
    ("mixtral_8x7b", {"model.norm_topk_prob": False}, "norm_topk_prob=false", "divided by their sum"),
    ("mixtral_8x7b", {"model.num_shared_experts": 1}, "num_shared_experts=1", "by a learned share"),
    ("mixtral_8x7b", {"model.router_jitter_noise": 0.1}, "router_jitter_noise=0.1", "Jitter is of 0.01"),
    ("mixtral_8x7b", {"model.scale_expert_inputs": True}, "scale_expert_inputs=true", "what comes out of experts"),
]


@pytest.mark.parametrize(
    ("framework", "model", "values", "lost", "why"),
    [
        *(("megatron", *case) for case in MEGATRON),
        *(("maxtext", *case) for case in MAXTEXT),
        *(("deepspeed", *case) for case in DEEPSPEED),
    ],
)
def test_what_gets_lost_is_told(framework: str, model: str, values: dict[str, Any], lost: str, why: str) -> None:
    (found,) = told(framework, model, values)
    assert (found.status, found.observed) == ("warn", lost)
    assert found.message.startswith(f"model.{lost} gets lost: ")
    assert why in found.message
    assert (
        found.fix
        == f"bring it with the program's own code, or leave model.{lost.split('=', maxsplit=1)[0]} out if that is meant"
    )


def test_learned_positions_are_as_many_as_the_model_has() -> None:
    config = composed("framework=megatron", "workload=train", "model=gpt3_175b", "parallel=adp1024")
    found = {item.id: item for item in adapter("megatron").declared(config)}["megatron-learned-positions"]
    assert (found.status, found.fix) == ("warn", "write workload.sequence_length=2048")
    assert "2048 learned positions for sequences of 4096 tokens: the table gets 4096 rows" in found.message


def test_mtp_layers_want_positions_that_rotate() -> None:
    config = composed("framework=megatron", "workload=train", "model=gpt_oss_120b", "parallel=adp1024")
    checks = adapter("megatron").declared(changed(config, {"model.num_nextn_predict_layers": 1}))
    found = {item.id: item for item in checks}["megatron-mtp-positions"]
    assert (found.status, found.fix) == ("fail", "write model.num_nextn_predict_layers=0")
    assert "MTP layers with --position-embedding-type rope or none; the model has yarn" in found.message


def test_compressed_attention_scales_its_rotation_itself() -> None:
    """A published recipe of DeepSeek-V4 has MTP layers, and runs the products from its latents again."""
    v4 = composed("framework=megatron", "workload=train", "model=deepseek_v4_flash", "parallel=adp1024_ep64_etp1")
    own = changed(v4, {"workload.recompute": "selective", "workload.recompute_modules": ["mla_up_proj"]})
    assert own.model.num_nextn_predict_layers > 0
    checks = {item.id: item.status for item in adapter("megatron").declared(own)}
    assert checks["megatron-mtp-positions"] == checks["megatron-recompute-modules"] == "pass"
