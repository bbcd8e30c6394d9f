"""Of which family a model is to a server: the class and the `model_type` that its checkpoint's `config.json` names."""

from __future__ import annotations

from typing import Any

from compiler.blocks.kinds import FEEDS, MIXERS
from compiler.specs.model import Model

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

ALSO = {"kimi_k2": "deepseek_v3"}
"""Another model_type -> that of which its architecture is."""

CLASSES = {kind: name for name, kind in TYPES.items()} | dict.fromkeys(ALSO, "DeepseekV3ForCausalLM")
"""model_type -> architecture."""

WRAPPED = {"KimiK25ForConditionalGeneration": "kimi_k25", "Llama4ForConditionalGeneration": "llama4"}
"""The same of files that describe their language model under `text_config`."""

INNER = {"KimiK25ForConditionalGeneration": "deepseek_v3", "Llama4ForConditionalGeneration": "llama4_text"}
"""The model_type there."""


def architecture(model: Model) -> str:
    """The class of the checkpoint as its file says; else that of its family; else one that its keys describe."""
    if model.architectures:
        return str(model.architectures[0])
    if model.model_type in CLASSES:
        return CLASSES[model.model_type]
    if model.mla:
        return _latent(model)
    return _experts(model) if model.moe else _dense(model)


def family(model: Model) -> str:
    """The `model_type` that the model says; else that of its architecture, empty where that is not known."""
    name = architecture(model)
    return model.model_type or INNER.get(name) or TYPES.get(name, "")


def unknown(model: Model) -> str:
    """What keeps a `config.json` from being written of the model, by which another one would be proven; empty where nothing does."""
    name = architecture(model)
    if model.architectures and name not in {*TYPES, *WRAPPED}:
        return f"architecture {name}"
    if model.model_type is not None and model.model_type not in CLASSES:
        return f"family {model.model_type}"
    odd = sorted({*model.mixer_words, *model.feed_words} - {*MIXERS, *FEEDS})
    return "" if model.model_type or model.architectures or not odd else f"no family, and layers of {', '.join(odd)}"


def plain(model: Model) -> list[str] | None:
    """`layer_types` where servers know every word of it; families that say it otherwise leave it out."""
    types = model.layer_types
    return types if types is not None and set(types) <= set(MIXERS) else None


def indexer(model: Model) -> dict[str, Any]:
    """Sizes of what chooses tokens."""
    heads, width = model.indexer
    return {"index_topk": model.index_topk, "index_n_heads": heads, "index_head_dim": width}


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
