"""A model as the `config.json` of its checkpoint, by which SGLang chooses what it overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from compiler.specs.model import Model

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}

TYPES = {
    "DeepseekV2ForCausalLM": "deepseek_v2",
    "DeepseekV3ForCausalLM": "deepseek_v3",
    "DeepseekV32ForCausalLM": "deepseek_v32",
    "GPT2LMHeadModel": "gpt2",
    "Glm4MoeForCausalLM": "glm4_moe",
    "GlmMoeDsaForCausalLM": "glm_moe_dsa",
    "GptOssForCausalLM": "gpt_oss",
    "LlamaForCausalLM": "llama",
    "Llama4ForCausalLM": "llama4_text",
    "MiniMaxM2ForCausalLM": "minimax_m2",
    "MistralForCausalLM": "mistral",
    "MixtralForCausalLM": "mixtral",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen2MoeForCausalLM": "qwen2_moe",
    "Qwen3ForCausalLM": "qwen3",
    "Qwen3MoeForCausalLM": "qwen3_moe",
}
"""Architecture -> model_type, of those that a model's keys describe."""

WRAPPED = {"KimiK25ForConditionalGeneration": "kimi_k25", "Llama4ForConditionalGeneration": "llama4"}
"""The same of files that describe their language model under `text_config`."""


def architecture(model: Model) -> str:
    """The class of the checkpoint as its file says; else one that its keys describe."""
    if model.architectures:
        return str(model.architectures[0])
    if model.mla:
        return _latent(model)
    return _experts(model) if model.moe else _dense(model)


def _latent(model: Model) -> str:
    if model.index_topk is not None:
        return "DeepseekV32ForCausalLM"
    return "DeepseekV2ForCausalLM" if model.scoring_func == "softmax" else "DeepseekV3ForCausalLM"


def _experts(model: Model) -> str:
    kinds = {
        "GptOssForCausalLM": model.attention_sinks,
        "Llama4ForCausalLM": model.scale_expert_inputs,
        "MiniMaxM2ForCausalLM": model.use_qk_norm and model.qk_norm_type == "per_layer",
        "Glm4MoeForCausalLM": model.scoring_func == "sigmoid",
        "Qwen2MoeForCausalLM": model.shared_expert_gate,
        "Qwen3MoeForCausalLM": model.use_qk_norm,
    }
    return next((name for name, fits in kinds.items() if fits), "MixtralForCausalLM")


def _dense(model: Model) -> str:
    if model.position_embedding_type == "absolute":
        return "GPT2LMHeadModel"
    if model.use_qk_norm:
        return "Qwen3ForCausalLM"
    return "Qwen2ForCausalLM" if model.qkv_bias else "LlamaForCausalLM"


INDEXED = frozenset(
    "DeepseekV3ForCausalLM DeepseekV32ForCausalLM MistralLarge3ForCausalLM PixtralForConditionalGeneration GlmMoeDsaForCausalLM "
    "Glm5NextForConditionalGeneration LongcatFlashForCausalLM LongcatFlashForCausalLMNextN Dots3NoteForCausalLM HYV4ForCausalLM "
    "HYV4ForCausalLMNextN".split()
)
"""Architectures that it reads an indexer of (`configs/model_config.py is_deepseek_dsa`)."""


def sparse(model: Model) -> bool:
    """Whether an indexer chooses the tokens that attention reads, as SGLang tells it."""
    return model.mla and model.index_topk is not None and architecture(model) in INDEXED


def config_json(model: Model, precision: str) -> dict[str, Any]:
    """What a `config.json` says of the model, as far as its keys do; without quantisation where `precision` asks for another
    checkpoint of it.
    """
    name, inner = architecture(model), _text(model)
    weights = _quantized(model) if model.keeps_quantization(precision) or not model.stored else {}
    if name in WRAPPED:
        return {"architectures": [name], "model_type": WRAPPED[name], "text_config": inner, **weights}
    return {"architectures": [name], **inner, "model_type": TYPES.get(name, "llama"), **weights}


def _text(model: Model) -> dict[str, Any]:
    """What the file says of the language model, less what nobody knows."""
    kind = {"KimiK25ForConditionalGeneration": "deepseek_v3", "Llama4ForConditionalGeneration": "llama4_text"}
    found = {
        "model_type": kind.get(architecture(model), ""),
        "torch_dtype": DTYPES.get(model.dtype, "bfloat16"),
        "hidden_act": model.hidden_act or "silu",
        "head_dim": model.head_size if not model.mla else model.qk_rope_head_dim,
        "max_position_embeddings": model.max_position_embeddings or 1 << 20,
        "num_key_value_heads": model.kv_heads,
        "rope_theta": model.rope_theta,
        "rope_scaling": _rope(model) if model.scaled_rope else None,
        **{key: getattr(model, key) for key in _SAME},
        **(_latent_sizes(model) if model.mla else {}),
        **(_expert_sizes(model) if model.moe else {}),
        **(
            {"sliding_window": model.sliding_window, "layer_types": _layer_types(model)} if model.sliding_window else {}
        ),
    }
    return {key: value for key, value in found.items() if value is not None}


def _rope(model: Model) -> dict[str, Any]:
    """Where the length that positions were trained for is the model's own, as its reader takes it, the file need not have said it."""
    scaling = asdict(model.rope_scaling)
    if scaling["original_max_position_embeddings"] == model.max_position_embeddings:
        del scaling["original_max_position_embeddings"]
    return {key: value for key, value in scaling.items() if value is not None}


def longest(model: Model) -> int | None:
    """Tokens of the longest request that a server of the checkpoint takes (`utils/hf_transformers/common.py get_context_length`)."""
    most, scaling = model.max_position_embeddings, model.rope_scaling
    own = scaling.original_max_position_embeddings in (None, most) and scaling.rope_type not in ("default", "llama3")
    return None if most is None else int(most * (scaling.factor or 1.0)) if own else most


_SAME = (
    "num_hidden_layers hidden_size num_attention_heads intermediate_size vocab_size tie_word_embeddings attention_bias "
    "initializer_range"
).split()


def _layer_types(model: Model) -> list[str]:
    return ["full_attention" if window is None else "sliding_attention" for window in model.windows]


def _latent_sizes(model: Model) -> dict[str, Any]:
    keys = "q_lora_rank kv_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim".split()
    heads, width = model.indexer
    indexer = {"index_topk": model.index_topk, "index_head_dim": width, "index_n_heads": heads} if sparse(model) else {}
    return {key: getattr(model, key) for key in keys} | indexer


def _expert_sizes(model: Model) -> dict[str, Any]:
    """Counts by every name that a family has for them."""
    names = ("n_routed_experts", "num_local_experts", "num_experts")
    known = {"DeepseekV", "GlmMoe", "Glm4Moe", "Kimi"}
    chosen = names[:1] if architecture(model).startswith(tuple(known)) else names[1:]
    return {
        **dict.fromkeys(chosen, model.num_experts),
        "num_experts_per_tok": model.num_experts_per_tok,
        "moe_intermediate_size": model.expert_size,
        "n_shared_experts": model.num_shared_experts,
        "first_k_dense_replace": model.first_k_dense_replace,
        "moe_layer_freq": 1,
        "n_group": model.n_group,
        "topk_group": model.topk_group,
        "scoring_func": model.scoring_func,
        "norm_topk_prob": model.norm_topk_prob,
        "routed_scaling_factor": model.routed_scaling_factor,
        "topk_method": "noaux_tc" if model.use_routing_bias else "greedy",
        "num_nextn_predict_layers": model.num_nextn_predict_layers,
    }


def _quantized(model: Model) -> dict[str, Any]:
    method = model.quantization.method
    if method is None:
        return {}
    cache = {"kv_cache_quant_algo": model.quantization.kv_cache.upper()} if model.quantization.kv_cache else {}
    return {"quantization_config": {"quant_method": method, **cache, **_scheme(model, method)}}


def _scheme(model: Model, method: str) -> Mapping[str, Any]:
    """What a method says of the weights that most are stored as."""
    form = next((model.stored[kind] for kind in ("experts", "mlp", "attention") if kind in model.stored), None)
    if form is None:
        return {}
    bits, group = int(form.bits), (form.block or [1, 128])[-1]
    block = {"weight_block_size": form.block} if form.block else {}
    integers = {"bits": bits, "group_size": group}
    found: dict[str, Mapping[str, Any]] = {
        "fp8": {"activation_scheme": "dynamic", "fmt": "e4m3", **block},
        "mxfp8": {"activation_scheme": "dynamic", "weight_block_size": [1, 32]},
        "modelopt": {"quant_algo": "FP8" if form.scheme == "fp8" else form.scheme.upper(), "group_size": group},
        "compressed-tensors": {
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": _args(form.scheme, bits, group)}}
        },
        "awq": {**integers, "zero_point": True, "version": "gemm"},
        "gptq": {**integers, "desc_act": False, "sym": True},
    }
    return found.get(method, {})


def _args(scheme: str, bits: int, group: int) -> Mapping[str, Any]:
    kind = "int" if scheme.startswith("int") else "float"
    return {"num_bits": bits, "type": kind, "group_size": group, "strategy": "group", "symmetric": True}
