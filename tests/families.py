"""Families as transformers builds them, on the meta device, and which engine runs which."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compiler.config.families.table import FAMILIES, NAMED
from compiler.config.hf import described
from compiler.specs.model import Model

COMPLETED: dict[str, dict[str, Any]] = {
    "dbrx": {"attn_config": {"rope_theta": 1e4, "kv_n_heads": 8}},
    "deepseek_v2": {"num_experts_per_tok": 6},
    "dory": {
        "layer_types": (["sliding_attention", "mlp"] * 3 + ["full_attention", "mlp"]) * 9,
        "num_hidden_layers": 72,
        "n_input_layers": 16,
        "n_output_layers": 16,
    },
    "dots1": {"n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 2},
    "hrm_text": {"num_layers_per_stack": 16, "num_hidden_layers": 128},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 16, "num_hidden_layers": 32},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
}
"""What classes that are no model by themselves need."""


def transformers() -> Any:
    """The package, or a skip by its name."""
    return pytest.importorskip("transformers", reason="transformers is not installed: pip install transformers==5.24.0")


def built(kind: str, **said: Any) -> tuple[dict[str, Any], Any]:
    """The file that transformers would write of such a model, and the model without memory."""
    package = transformers()
    torch = pytest.importorskip("torch")
    package.logging.set_verbosity_error()
    config = package.AutoConfig.for_model(kind, **said)
    config._attn_implementation = "eager"
    with torch.device("meta"):
        model = package.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    return {**json.loads(json.dumps(config.to_dict(), default=str)), "model_type": kind}, model


def built_wrapper(kind: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The file that transformers would write of a model of several parts, and its parameters, those of its language model apart."""
    package = transformers()
    torch = pytest.importorskip("torch")
    package.logging.set_verbosity_error()
    config = package.AutoConfig.for_model(kind)
    with torch.device("meta"):
        model = package.AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    counts = {name: item.numel() for name, item in model.named_parameters()}
    return {**json.loads(json.dumps(config.to_dict(), default=str)), "model_type": kind}, counts


def count(data: dict[str, Any]) -> int:
    """Parameters of the model that transformers makes of a file."""
    kept = {
        key: value for key, value in data.items() if key not in ("model_type", "quantization_config", "architectures")
    }
    return sum(item.numel() for item in built(data["model_type"], **kept)[1].parameters())


def ours(data: dict[str, Any]) -> Model:
    return described("config.json", "config.json", data)


def known() -> list[str]:
    """Families that transformers has, where it is installed."""
    try:
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES
    except ImportError:
        return ["llama"]
    alike = ("apertus1p5_text", "codegen", "gemma4_unified_text")
    return sorted(name for name in (*FAMILIES, *alike) if name in NAMES)


def classes() -> dict[str, str]:
    """model_type -> the class that engines' registries call it by."""
    from transformers.models.auto import modeling_auto

    names = {
        **modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        **modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }
    return {kind: str(names[kind]) for kind in sorted({*FAMILIES, *NAMED}) if kind in names}
