"""Read a model's own Hugging Face `config.json` into the Model of the specs.

A family, named by `model_type`, is a tuple of parts; a part reads some of Model's fields from the file (families/table.py).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from compiler.blocks import kinds
from compiler.config import quantization
from compiler.config.families import vision
from compiler.config.families.source import Source, merged
from compiler.config.families.table import CORE, FAMILIES, LIKE, NAMED, WRAPPERS
from compiler.errors import ConfigError, short
from compiler.inputs import json_object
from compiler.inputs.file import text as text_of
from compiler.nearest import near
from compiler.specs.limits import LAYERS
from compiler.specs.model import Model

CONFIG, SIDECAR = "config.json", "hf_quant_config.json"

DEFAULTS = Path(__file__).parent / "families" / "defaults.json"
"""model_type -> what its configuration class in transformers says of keys that a file leaves out, and names that stand for each other."""

SHARED = (
    "quantization_config",
    "compression_config",
    "dtype",
    "torch_dtype",
    "expert_dtype",
    "tie_word_embeddings",
    "_name_or_path",
)
"""What such a file says of all its parts."""

TIED = "tie_word_embeddings"
"""Of a file of several parts the outermost one says it (vLLM 0.33 config/vllm.py: `with_hf_config`)."""

LONGEST_NAME = 60
"""Characters of a model's name: a plan's own has its degrees too, and 100 at most."""

TEXTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where a file of several parts describes its language model."""

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
    kind, text = _text(where, data)
    source = _source(where, kind, text, core=CORE if text is data else frozenset())
    found = _tied(source, str(data.get("model_type")), merged(FAMILIES[family(kind)], source))
    architectures = _architectures(source, data)
    if source.problems:
        raise ConfigError(dict.fromkeys(source.problems))
    dtype = _dtype(text)
    towers = vision.towers(data) if text is not data else vision.flat(data)
    beside = found.pop("towers", {})
    assumed = [
        *([] if dtype else ["dtype"]),
        *dict.fromkeys(source.assumed),
        *(f"towers.{name}" for name in towers.assumed),
    ]
    model = Model(
        name=_name(path, data),
        model_type=family(kind),
        architectures=architectures,
        dtype=dtype or "bf16",
        assumed=assumed,
        towers={**towers.params, **beside},
        **found,
    )
    if bad := list(kinds.problems(model)):
        raise ConfigError(dict.fromkeys(bad))
    return replace(model, quantization=quantization.read(where, model, text, sidecar))


LISTS = ("layer_types", "mlp_layer_types", "no_rope_layers", "moe_layer_freq")
"""Keys with an entry a layer."""


def resized(model: Model, layers: int) -> Model:
    """The model with so many layers, where somebody says so: lists of its file are cut, or repeated from their start."""
    old = {key: getattr(model, key) for key in LISTS}
    lists = {key: value for key, value in old.items() if isinstance(value, list) and 0 < layers <= LAYERS}
    cut: dict[str, Any] = {key: (value * -(-layers // len(value)))[:layers] for key, value in lists.items()}
    return replace(model, **cut)


def _tied(source: Source, outer: str, found: dict[str, Any]) -> dict[str, Any]:
    """The head of a file of several parts is the whole class's, and so is what is so of it where no part says."""
    usual = _defaults()["wrappers"].get(outer, {}).get("tied")
    if usual is None or source.data.get(TIED) is not None:
        return found
    source.assumed.append(TIED)
    return {**found, TIED: usual}


def _source(where: str, kind: str, text: Mapping[str, Any], core: frozenset[str]) -> Source:
    """The object with its class's defaults; those of the family where its own class is not known."""
    known = _defaults()
    said = known.get(kind) or known.get(family(kind)) or known.get(LIKE.get(family(kind), ""), {})
    pairs = list(said.get("aliases", {}).items())
    aliases: dict[str, tuple[str, ...]] = {}
    for key, other in [*pairs, *((other, key) for key, other in pairs)]:
        aliases[key] = (*aliases.get(key, ()), other)
    return Source(where, kind, text, defaults=said.get("defaults", {}), aliases=aliases, core=core)


@cache
def _defaults() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DEFAULTS.read_text())
    return found


def family(kind: str) -> str:
    """The family of a model_type that is known."""
    return NAMED.get(kind, kind)


def load(where: str, path: str) -> dict[str, Any]:
    """The object of a config.json or of its sidecar, which may hold `Infinity` and `NaN`, as Python's writer of JSON makes them.

    Raises ConfigError for a file that cannot be read, or holds no object.
    """
    name = SIDECAR if Path(path).name == SIDECAR else CONFIG
    text = text_of(where, path, f"write the path of a {name}")
    return json_object.read(where, text, f"take the model's own {name}", checked=False)


def _text(where: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The model_type and what describes the language model: the file's object, or it with what is nested on top."""
    kind, nested = str(data.get("model_type")), _nested(data)
    if nested is None and kind in WRAPPERS and "hidden_size" not in data:
        raise ConfigError.of(
            f"{where} has no text_config, which model_type {short(kind)} needs", "take the model's own config.json"
        )
    inner = str(nested.get("model_type")) if nested else kind
    found = next((name for name in (inner, kind, f"{kind}_text") if family(name) in FAMILIES), None)
    if found is None:
        several = f"{short(inner)} in {short(kind)}" if nested else short(kind)
        raise ConfigError.of(f"{where} has model_type={several}, not a known family", _other_families(inner))
    if nested is None:
        return found, data
    outer = {key: value for key, value in data.items() if key in SHARED}
    own = {key: value for key, value in nested.items() if value is not None or key not in outer}
    return found, outer | own | {key: value for key, value in outer.items() if key == TIED and value is not None}


def _other_families(kind: str) -> str:
    known = sorted({*FAMILIES, *NAMED})
    found = near(kind, known, 1)
    first = f"{found[0]}, or of another of the" if found else "one of the"
    return (
        f"take a model of {first} {len(known)} families that docs/models.md lists, or write its fields as a model file"
    )


def _nested(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The description of the language model within a file of several parts."""
    for key in TEXTS:
        inner = data.get(key)
        if isinstance(inner, dict) and ("model_type" in inner or "hidden_size" not in data):
            return _nested(inner) or inner
    return None


def _dtype(data: Mapping[str, Any]) -> str | None:
    """Precision of the weights that are not quantised; None where the file does not say."""
    return _DTYPES.get(str(data.get("dtype") or data.get("torch_dtype")).removeprefix("torch."))


def _architectures(source: Source, data: Mapping[str, Any]) -> list[str] | None:
    """The classes that the file names, of which there is one; None where it names none."""
    found = data.get("architectures") or []
    names = found[:1] if isinstance(found, list) else [found]
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            source.note(f"has architectures={short(repr(found))}", "write a list with the name of a class")
    return [str(name) for name in names] or None


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
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower().rpartition("--")[2]).lstrip("._-")[:LONGEST_NAME] or "model"
