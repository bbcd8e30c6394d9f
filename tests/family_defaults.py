"""What transformers' configuration classes say of keys that a file leaves out: `python -m tests.family_defaults` writes it anew."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from compiler.config.families.table import FAMILIES, NAMED
from compiler.config.hf import DEFAULTS

FOLDER = DEFAULTS.parent
LEFT_OUT = {"model_type", "quantization_config", "dtype", "rope_parameters", "layers"}


def keys() -> set[str]:
    """Every name that a part may ask for."""
    text = "".join(path.read_text() for path in FOLDER.glob("*.py"))
    return {*re.findall(r'"([A-Za-z_0-9]+)"', text)} - LEFT_OUT


def classes() -> dict[str, Any]:
    """model_type -> the class of its language model's configuration, of every family that transformers has."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    names = sorted({*FAMILIES, *NAMED})
    found = {name: CONFIG_MAPPING[name] for name in names if name in CONFIG_MAPPING}
    texts = {name: getattr(kind, "sub_configs", {}).get("text_config", kind) for name, kind in found.items()}
    return {name: kind for name, kind in texts.items() if dataclasses.is_dataclass(kind)}


def wrappers() -> dict[str, dict[str, Any]]:
    """Of each class of several parts the family of its language model, null where that may be any, and whether it ties embedding
    and head where its file says nothing of it.
    """
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    generating = {*modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES}
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(generating & {*CONFIG_MAPPING.keys()}):
        kind: Any = CONFIG_MAPPING[name]
        parts = getattr(kind, "sub_configs", {})
        if "text_config" in parts and dataclasses.is_dataclass(kind):
            said = {item.name: item.default for item in dataclasses.fields(kind)}.get("tie_word_embeddings")
            text = getattr(parts["text_config"], "model_type", None) or None
            found[name] = {"text": text, "tied": said if isinstance(said, bool) else None}
    return found


def entry(kind: Any, wanted: set[str]) -> dict[str, Any]:
    """Defaults that are plain values, and the names that stand for each other."""
    base = {item.name for item in dataclasses.fields(_base())}
    wanted = wanted | {name for pair in dict(kind.attribute_map).items() if wanted & {*pair} for name in pair}
    found = {}
    for item in dataclasses.fields(kind):
        value = item.default
        if item.name in wanted and item.name not in base - {"tie_word_embeddings"} and _plain(value):
            found[item.name] = list(value) if isinstance(value, tuple) else value
    theta = getattr(kind, "default_theta", None)
    if isinstance(theta, dict):
        theta = theta.get("full_attention", theta.get("global"))
    if theta is not None and "rope_theta" not in found:
        found["rope_theta"] = theta
    aliases = {key: other for key, other in dict(kind.attribute_map).items() if {key, other} & wanted}
    return {"defaults": dict(sorted(found.items())), **({"aliases": dict(sorted(aliases.items()))} if aliases else {})}


def _plain(value: Any) -> bool:
    return value is not dataclasses.MISSING and isinstance(value, (int, float, str, bool, list, tuple, type(None)))


def _base() -> Any:
    from transformers import PreTrainedConfig

    return PreTrainedConfig


def written() -> str:
    wanted = keys()
    lines = [f" {json.dumps(name)}: {json.dumps(entry(kind, wanted))}" for name, kind in classes().items()]
    lines.append(f' "wrappers": {json.dumps(wrappers())}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    DEFAULTS.write_text(written())
