"""Which of MaxText's decoder blocks (models/*.py) comes nearest to a model."""

from __future__ import annotations

from compiler.specs.model import Model


def decoder_block(model: Model) -> str:
    """Latent attention, shared experts and leading dense layers are those of DeepSeek's block alone, but for Llama 4's."""
    if model.moe and model.scale_expert_inputs:
        return "llama4"
    if model.mla or model.shared_size or model.first_k_dense_replace:
        return "deepseek"
    return _of_experts(model) if model.moe else _dense(model)


def _of_experts(model: Model) -> str:
    if model.attention_sinks or model.sliding_window:
        return "gpt_oss"
    return "qwen3_moe" if model.use_qk_norm else "mixtral"


def _dense(model: Model) -> str:
    if model.position_embedding_type == "absolute":
        return "gpt3"
    if model.use_qk_norm:
        return "qwen3"
    return "qwen2" if model.qkv_bias else "llama2"
