"""A checkpoint's own quantisation: its `quantization_config`, or ModelOpt's `hf_quant_config.json`, -> how each class is stored."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from compiler.config.modules import modules
from compiler.config.quantization_forms import Recipe, UnknownSchemeError
from compiler.config.quantization_methods import METHODS
from compiler.errors import ConfigError, short
from compiler.specs.model import BYTES, Model
from compiler.specs.ranges import problems
from compiler.specs.weights import CACHES, Quantization, Stored

INSTEAD = "take a checkpoint in another format, or describe it in a model file under quantization"


NAMES = ("quantization_config", "compression_config")
"""What files call it."""

Sidecar = tuple[str, Mapping[str, Any]]
"""What messages call the `hf_quant_config.json` beside a config.json, and what it holds."""


def read(where: str, model: Model, data: Mapping[str, Any], sidecar: Sidecar | None = None) -> Quantization:
    """How the checkpoint that a config.json's object describes stores the model's weights; the sidecar counts where the object
    says nothing. `where` is what messages call the object.

    Raises ConfigError for a method or scheme that is not known, and for one that makes no sense.
    """
    name = next((key for key in NAMES if data.get(key)), NAMES[0])
    given = data.get(name)
    if not given and sidecar is not None:
        where, given = sidecar
    if not given:
        return Quantization()
    if not isinstance(given, Mapping):
        raise ConfigError.of(f"{where} has {name}={short(repr(given))}", "write what the checkpoint has")
    inner = given.get("quantization")
    found = {**given, **inner} if isinstance(inner, Mapping) else dict(given)  # ModelOpt's own form nests it
    method = (
        str(found.get("quant_method") or _unnamed(found)).lower().replace("compressed_tensors", "compressed-tensors")
    )
    if method not in METHODS:
        raise ConfigError.of(f"{where} has quant_method={short(method)}, whose weights' width is not known", INSTEAD)
    try:
        recipe = METHODS[method]({**found, "expert_dtype": data.get("expert_dtype")})
        classes = _classes(model, recipe)
    except UnknownSchemeError as error:
        raise ConfigError.of(
            f"{where} has quant_method={method} with {short(error)}, which is not known", INSTEAD
        ) from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, re.error) as error:
        raise ConfigError.of(
            f"{where} has a quantization_config of {method} that cannot be read: {type(error).__name__} {short(error)}",
            INSTEAD,
        ) from error
    if bad := [problem for kind, form in classes.items() for problem in problems(form, f"{where}: {method}, {kind}")]:
        raise ConfigError(dict.fromkeys(bad))
    if recipe.default is not None and not classes:
        kinds = " and ".join(recipe.kinds)
        raise ConfigError.of(f"{where} has quant_method={method}, which quantises {kinds}: the model has none", INSTEAD)
    return Quantization(method, classes, _cache(found))


def _cache(given: Mapping[str, Any]) -> str | None:
    """The format that the checkpoint asks for of cached keys and values: ModelOpt's name of one, or a scheme of compressed-tensors'."""
    scheme = given.get("kv_cache_scheme")
    name = str(given.get("kv_cache_quant_algo") or (scheme if isinstance(scheme, str) else "")).lower()
    if isinstance(scheme, Mapping) and not name:
        kind = f"{scheme.get('type', 'float')}{scheme.get('num_bits')}"
        name = {"float8": "fp8", "float4": "nvfp4", "int8": "int8"}.get(kind, "")
    return name if name in CACHES else None


def _unnamed(given: Mapping[str, Any]) -> str | None:
    """The method of a file that does not name it, as its writers leave it out."""
    if "quant_algo" in given:
        return "modelopt"
    return "bitsandbytes" if given.get("load_in_4bit") or given.get("load_in_8bit") else None


def _classes(model: Model, recipe: Recipe) -> dict[str, Stored]:
    """Class -> its form, of those that hold quantised weights."""
    held: dict[str, list[tuple[Stored | None, float]]] = defaultdict(list)
    for module in modules(model):
        held[module.kind].append((recipe.form(module), module.count))
    found = {kind: _joined(forms, 8 * BYTES[model.dtype]) for kind, forms in held.items()}
    return {kind: form for kind, form in found.items() if form is not None}


def _joined(forms: Sequence[tuple[Stored | None, float]], wide_bits: float) -> Stored | None:
    """The form of a class, whose layers or matrices may differ: then of as many bits on average, and multiplied as most of it is."""
    first = forms[0][0]
    if all(form == first for form, _ in forms):
        return first
    shares: dict[str, float] = defaultdict(float)
    named = {form.scheme: form for form, _ in forms if form is not None}
    for form, count in forms:
        shares["wide" if form is None else form.scheme] += count
    bits = sum(count * (wide_bits if form is None else form.bits) for form, count in forms) / sum(shares.values())
    most = named.get(max(shares, key=lambda name: shares[name]))
    joined = Stored("+".join(sorted(named)), bits)
    return joined if most is None else replace(joined, activations=most.activations, block=most.block)
