"""The architecture of a row from the model's own config.json, by its numbers where its family is not known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.rows.record import Skip
from compiler.config.families.table import FAMILIES, NAMED
from compiler.config.hf import described, load
from compiler.errors import CompilerError
from compiler.specs.model import Model

UNLIKE = re.compile(r"mamba|ssm|linear_(attn|num|key|value)|hybrid|layers_block_type|recurrent|rwkv|conv_kernel")
"""Keys of layers that a transformer of ours does not have."""

KEYS = (
    ("kv_lora_rank", "deepseek_v3"),
    ("n_routed_experts", "glm4_moe"),
    ("num_local_experts", "mixtral"),
    ("num_experts", "qwen3_moe"),
    ("hidden_size", "llama"),
)
"""A key, and the family whose files name the same things alike; the first that fits."""


@cache
def model(path: Path) -> Model:
    """Raises Skip for a model that cannot be read."""
    try:
        where = path.name
        return described(where, str(path), known(load(where, str(path))))
    except CompilerError:
        raise Skip(f"no model {path.name}") from None


def known(data: dict[str, Any]) -> dict[str, Any]:
    """The object as a family that is known would have it. Raises Skip for layers of another kind."""
    if str(data.get("model_type")) in {*FAMILIES, *NAMED}:
        return data
    nested = data.get("text_config")
    text: Mapping[str, Any] = data | (nested if isinstance(nested, dict) else {})
    if any(UNLIKE.search(key) and value for key, value in text.items()):
        raise Skip("Mamba layers or compressed attention")
    family = next((family for key, family in KEYS if text.get(key)), "")
    return {**text, "model_type": family}
