"""Read a model's own Hugging Face `config.json` into the Model of the specs.

A family, named by `model_type`, is a tuple of parts; a part reads some of Model's fields from the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from compiler.config import hf_layers as layers
from compiler.config import hf_parts as parts
from compiler.config import quantization
from compiler.config.hf_parts import Part, Source
from compiler.errors import ConfigError
from compiler.inputs import json_object
from compiler.inputs.file import text as text_of
from compiler.specs.model import Model

CONFIG, SIDECAR = "config.json", "hf_quant_config.json"

_QUERY_BIASES, _HEAD_NORMS = layers.always(qkv_bias=True), layers.always(use_qk_norm=True)
_LATENT: tuple[Part, ...] = (parts.decoder, layers.layers(), parts.latent_attention, parts.deepseek_experts)
_DEEPSEEK: tuple[Part, ...] = (*_LATENT, layers.deepseek_router(factor=2.5))
_QWEN: tuple[Part, ...] = (parts.decoder, layers.layers(), parts.window)
FAMILIES: Mapping[str, tuple[Part, ...]] = {
    "deepseek_v2": (*_LATENT, layers.deepseek_router(scoring_func="softmax", norm_topk_prob=False)),
    "deepseek_v3": _DEEPSEEK,
    "glm4_moe": (
        parts.decoder,
        layers.layers(rms_norm_eps=1e-5, partial_rotary_factor=0.5),
        layers.glm_attention,
        parts.deepseek_experts,
        layers.deepseek_router(),
    ),
    "glm_moe_dsa": (*_DEEPSEEK, layers.sparse_attention),
    "gpt2": (parts.gpt2, layers.gpt2_layers),
    "gpt_oss": (
        parts.decoder,
        layers.layers(rms_norm_eps=1e-5, rope_theta=150000.0),
        layers.gpt_oss_layers,
        parts.alternating_window,
        parts.local_experts,
        layers.softmax_router,
    ),
    "kimi_k2": _DEEPSEEK,
    "llama": (parts.decoder, layers.layers(), layers.biases),
    "llama4_text": (
        parts.decoder,
        layers.layers(rms_norm_eps=1e-5, rope_theta=500000.0),
        layers.llama4_layers,
        parts.chunked_attention,
        parts.llama4_experts,
        layers.llama4_router,
    ),
    "minimax_m2": (
        parts.decoder,
        layers.layers(),
        layers.minimax_attention,
        parts.local_experts,
        layers.minimax_router,
    ),
    "mistral": _QWEN,
    "mixtral": (
        parts.decoder,
        layers.layers(rms_norm_eps=1e-5, rope_theta=1e6),
        parts.window,
        parts.local_experts,
        layers.softmax_router,
    ),
    "qwen2": (*_QWEN, _QUERY_BIASES),
    "qwen2_moe": (*_QWEN, _QUERY_BIASES, parts.qwen_experts, layers.qwen2_router),
    "qwen3": (*_QWEN, layers.biases, _HEAD_NORMS),
    "qwen3_moe": (*_QWEN, layers.biases, _HEAD_NORMS, parts.qwen_experts, layers.qwen_router),
}
"""model_type -> its parts; a later part wins over an earlier one."""

NESTED: Mapping[str, str] = {"kimi_k25": "kimi_k2", "llama4": "llama4_text"}
"""model_type of a file that describes its language model under `text_config` -> that model's family."""

_DTYPES: Mapping[str, str] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float8_e4m3fn": "fp8"}


def read(path: str) -> Model:
    """The model that the `config.json` at `path`, a file or its folder, describes, with what ModelOpt's `hf_quant_config.json` beside
    it says of its weights; what the files leave open is in `assumed`.

    Raises ConfigError for a file that cannot be read, is no JSON object, is of an unknown family, or lacks a key.
    """
    file = Path(path) / CONFIG if os.path.isdir(_home(path)) else Path(path)  # noqa: PTH112 - Path's own may raise
    where = f"model.hf_config={file}"
    beside = str(file.with_name(SIDECAR)) if file.name else SIDECAR
    found = os.path.isfile(_home(beside))  # noqa: PTH113 - as above
    sidecar = (beside, load(beside, beside)) if found else None
    return described(where, str(file), load(where, str(file)), sidecar)


def _home(path: str) -> str:
    """Where a path leads whose `~` is somebody's home."""
    return os.path.expanduser(path)  # noqa: PTH111 - Path's own raises for a ~user who is none


def described(where: str, path: str, data: dict[str, Any], sidecar: quantization.Sidecar | None = None) -> Model:
    """The model that a config.json's object describes; `where` is what messages call it. Raises ConfigError."""
    family, text = _text(where, data)
    source = Source(where, family, text)
    found: dict[str, Any] = {}
    for part in FAMILIES[family]:
        found |= part(source)
    if source.problems:
        raise ConfigError(dict.fromkeys(source.problems))
    dtype = _dtype(text)
    model = Model(
        name=_name(path, data),
        model_type=family,
        architectures=_architectures(data),
        dtype=dtype or "bf16",
        assumed=[] if dtype else ["dtype"],
        **found,
    )
    return replace(model, quantization=quantization.read(where, model, text, sidecar))


def load(where: str, path: str) -> dict[str, Any]:
    """The object of a config.json or of its sidecar, which may hold `Infinity` and `NaN`, as Python's writer of JSON makes them.

    Raises ConfigError for a file that cannot be read, or holds no object.
    """
    name = SIDECAR if Path(path).name == SIDECAR else CONFIG
    text = text_of(where, path, f"write the path of a {name}")
    return json_object.read(where, text, f"take the model's own {name}", checked=False)


def _text(where: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The family and what describes the language model: the file's object, or it with its `text_config` on top."""
    kind, nested = str(data.get("model_type")), data.get("text_config")
    if kind in NESTED:
        if not isinstance(nested, dict):
            raise ConfigError.of(
                f"{where} has no text_config, which model_type {kind} needs", "take the model's own config.json"
            )
        return NESTED[kind], data | {key: value for key, value in nested.items() if value is not None}
    if kind not in FAMILIES:
        known = ", ".join(sorted([*FAMILIES, *NESTED]))
        raise ConfigError.of(
            f"{where} has model_type={kind}, not a known family",
            f"take a model of {known}, or write its fields as a model file",
        )
    return kind, data


def _dtype(data: Mapping[str, Any]) -> str | None:
    """Precision of the weights that are not quantised; None where the file does not say."""
    return _DTYPES.get(str(data.get("dtype") or data.get("torch_dtype")).removeprefix("torch."))


def _architectures(data: Mapping[str, Any]) -> list[str] | None:
    """The classes that the file names, of which there is one; None where it names none."""
    found = data.get("architectures")
    return [str(name) for name in found[:1]] if isinstance(found, list) and found else None


def _name(path: str, data: Mapping[str, Any]) -> str:
    """The model's name in lower case, without an organisation's prefix: as the file says, else as it or its folder is called.

    Only the path as it is written counts, not where it is: a bare `config.json` is called by its family.
    """
    file, said = Path(path), data.get("_name_or_path")
    folder = file.parent
    if folder.parent.name == "snapshots":  # the hub's cache: models--ORG--NAME/snapshots/REVISION/config.json
        folder = folder.parent.parent
    written = Path(said).name if isinstance(said, str) else ""
    name = written or (file.stem if file.stem != "config" else folder.name.lstrip(".~") or str(data["model_type"]))
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower().rpartition("--")[2]).lstrip("._-") or "model"
