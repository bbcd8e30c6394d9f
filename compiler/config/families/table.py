"""Every family: `model_type` -> its parts, in the order in which a later one wins.

Class defaults and other names of keys are in defaults.json (`python -m tests.family_defaults` writes it from transformers).
To add a family of known kinds of layers: an entry here, and a line there.
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.config.families.common import Parts
from compiler.config.families.dense import DENSE
from compiler.config.families.routed import ROUTED
from compiler.config.families.stateful import HYBRID

FAMILIES: Mapping[str, Parts] = {**DENSE, **ROUTED, **HYBRID}

NAMED: Mapping[str, str] = {
    "apertus1p5": "apertus",
    "apertus1p5_text": "apertus",
    "aria": "aria_text",
    "codegen": "gptj",
    "cosmos3_edge_text": "arcee",
    "dots3_note": "dots3_note_text",
    "emu3_text_model": "llama",
    "ernie4_5_vl_moe": "ernie4_5_vl_moe_text",
    "gemma4_unified": "gemma4_text",
    "gemma4_unified_text": "gemma4_text",
    "glm5_next": "glm5_next_text",
    "glm_ocr_text": "glm4",
    "gpt-sw3": "gpt2",
    "granite4_vision_text": "granite",
    "granite_docling_text": "granite",
    "hunyuan_vl_text": "hunyuan_v1_dense",
    "hy_v4_vl_text": "hy_v4",
    "molmo2": "molmo2_text",
    "muse_glimmer": "muse_glimmer_text",
    "muse_spark": "muse_spark_text",
    "paddleocr_vl_text": "ernie4_5",
    "qwen2_5_omni_text": "qwen2",
    "qwen3_omni_moe_text": "qwen3_moe",
    "step3p7": "step3p5",
    "unlimited_ocr_text": "deepseek",
    "bailing_moe_v2": "bailing_moe",
    "glm4v_moe_text": "glm4_moe",
    "inkling_mm_model": "inkling_text",
    "kimi_k25": "kimi_k2",
    "llama4": "llama4_text",
    "mimo_v2": "mimo_v2_flash",
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
    "chatglm": "llama",
    "grok-1": "mixtral",
    "nemotron-nas": "llama",
    "telechat2": "llama",
    "solar": "llama",
    "telechat3": "llama",
    "xverse": "llama",
}
"""Families whose class transformers does not have -> the family whose defaults are theirs."""

CORE = frozenset({"num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"})
"""What tells a model from others of its family: never taken from a class's defaults, but for the language model of a wrapper."""
