"""Quantisation by toolkits that have many schemes each: compressed-tensors, ModelOpt, torchao and Quark."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from compiler.config.quantization_forms import (
    FP8,
    FP8_WEIGHTS,
    INT8,
    INT8_WEIGHTS,
    MXFP4,
    MXFP8,
    NVFP4,
    NVFP4_WEIGHTS,
    Given,
    Recipe,
    UnknownSchemeError,
    bits_of,
    block,
    grouped,
    integer,
    patterns,
    skipped,
)
from compiler.specs.weights import Stored


def number(weights: Given, activations: Given | None) -> Stored:
    """A form from numbers of bits, as compressed-tensors writes it."""
    bits, kind, size = bits_of(weights, "num_bits"), str(weights.get("type", "int")), grouped(weights, "group_size")
    rows = weights.get("block_structure")
    act = None
    if activations:
        act = f"{'int' if str(activations.get('type', 'int')) == 'int' else 'fp'}{activations['num_bits']}"
        act = {"fp4": "nvfp4", "int4": "int8"}.get(act, act)
    if kind == "float":
        found = {(4, 16): NVFP4, (4, 32): MXFP4, (8, 32): MXFP8}.get((bits, size))
        form = found or (block(*rows) if rows else Stored(f"fp{bits}", float(bits) + (16 / size if size > 0 else 0)))
        if form.scheme in ("mxfp4", "mxfp8") and act is not None:
            act = "mxfp8" if act == "fp8" else act
    else:
        form = integer(bits, size, 16 + (0 if weights.get("symmetric", True) else bits))
    return Stored(form.scheme, form.bits, act if act in ("fp8", "mxfp8", "nvfp4", "int8") else None, form.block)


def compressed_tensors(given: Given) -> Recipe:
    """Groups, each of the matrices that its targets name, or of every linear one."""
    sparse = (given.get("sparsity_config") or {}).get("format", "dense")
    if sparse != "dense":
        raise UnknownSchemeError(f"sparsity_config.format={sparse}")
    default, targets = None, []
    for group in (given.get("config_groups") or {}).values():
        if not group.get("weights"):
            continue
        form, names = number(group["weights"], group.get("input_activations")), group.get("targets") or ["Linear"]
        default = form if "Linear" in names else default
        targets.append((patterns(name for name in names if name != "Linear"), form))
    return Recipe(default, tuple(targets), skipped(given))


ALGORITHMS: Mapping[str, Callable[[int], Stored]] = {
    "FP8": lambda _: FP8,
    "FP8_PER_CHANNEL_PER_TOKEN": lambda _: FP8,
    "FP8_PB_WO": lambda size: block(size or 128, size or 128),
    "FP8_BLOCK_SCALES": lambda size: block(size or 128, size or 128),
    "MXFP8": lambda _: MXFP8,
    "NVFP4": lambda _: NVFP4,
    "NVFP4_AWQ": lambda _: NVFP4,
    "NVFP4_SVDQUANT": lambda _: NVFP4,
    "W4A16_NVFP4": lambda _: NVFP4_WEIGHTS,
    "W4A8_NVFP4_FP8": lambda _: Stored("nvfp4", 4.5, "fp8", [1, 16]),
    "MXFP4": lambda _: MXFP4,
    "W4A16_MXFP4": lambda _: MXFP4,
    "W4A8_MXFP4_FP8": lambda _: Stored("mxfp4", 4.25, "fp8", [1, 32]),
    "W4A8_MXFP4_MXFP8": lambda _: Stored("mxfp4", 4.25, "mxfp8", [1, 32]),
    "W4A16": lambda size: integer(4, size),
    "W8A16": lambda _: INT8_WEIGHTS,
    "INT4_AWQ": lambda size: integer(4, size or 128),
    "W4A16_AWQ": lambda size: integer(4, size or 128),
    "W4A8_AWQ": lambda size: integer(4, size or 128, activations="fp8"),
    "W4A16_GPTQ": lambda size: integer(4, size or 128, 16 + 4),
    "W8A16_GPTQ": lambda size: integer(8, size or 128, 16 + 8),
    "INT8_SQ": lambda _: INT8,
    "W8A8_SQ_PER_CHANNEL": lambda _: INT8,
    "W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN": lambda _: INT8,
}
"""ModelOpt's `quant_algo` (its and TensorRT-LLM's QuantAlgo) -> the form, given `group_size`."""


def _algorithm(given: Given) -> Stored | None:
    name = given.get("quant_algo")
    if name is None or str(name).upper() in ("NONE", "NO_QUANT"):
        return None
    if str(name).upper() not in ALGORITHMS:
        raise UnknownSchemeError(f"quant_algo={name}")
    return ALGORITHMS[str(name).upper()](grouped(given, "group_size"))


def modelopt(given: Given) -> Recipe:
    """One algorithm for all, or one for each of many matrices; groups as those of compressed-tensors where neither is said."""
    layers = given.get("quantized_layers")
    if layers:
        targets = tuple((patterns([name]), _algorithm(own)) for name, own in layers.items())
        return Recipe(None, targets, skipped(given))
    if "quant_algo" not in given:
        return compressed_tensors(given)
    return Recipe(_algorithm(given), ignored=skipped(given))


TORCHAO: tuple[tuple[str, Callable[[int], Stored]], ...] = (
    ("float8dynamicactivationfloat8(semisparse)?weight", lambda _: FP8),
    ("float8staticactivationfloat8weight", lambda _: FP8),
    ("float8dynamicactivationint4weight", lambda size: integer(4, size or 128, activations="fp8")),
    ("float8weightonly", lambda _: FP8_WEIGHTS),
    ("int8dynamicactivationint8weight|int8staticactivationint8weight", lambda _: INT8),
    ("int8dynamicactivationint(4|x)weight", lambda size: integer(4, size or 32, activations="int8")),
    ("int8weightonly", lambda size: integer(8, size)),
    ("int4weightonly", lambda size: integer(4, size or 128, 32)),
    ("nvfp4dynamicactivationnvfp4weight|nvfp4inference", lambda _: NVFP4),
    ("nvfp4weightonly", lambda _: NVFP4_WEIGHTS),
    ("mxfp8dynamicactivationmxfp8weight", lambda _: MXFP8),
)
"""A `quant_type` of torchao without underscores and `Config`, and the form, given `group_size`; INT4 has a scale and a zero point of BF16."""


def _torchao_type(kind: Any) -> Stored | None:
    if kind is None:
        return None
    name, values = (kind.get("_type", ""), kind.get("_data") or {}) if isinstance(kind, Mapping) else (str(kind), {})
    plain = re.sub(r"_|config$", "", str(name).lower())
    for pattern, form in TORCHAO:
        if re.fullmatch(pattern, plain):
            return form(grouped(values, "group_size"))
    raise UnknownSchemeError(f"quant_type={name}")


def torchao(given: Given) -> Recipe:
    kind = given["quant_type"]
    kind = kind.get("default", kind) if isinstance(kind, Mapping) else kind
    if isinstance(kind, Mapping) and "FqnToConfig" in str(kind.get("_type")):
        data = kind.get("_data") or {}
        own = dict(data.get("fqn_to_config") or data.get("module_fqn_to_config") or {})
        default = _torchao_type(own.pop("_default", None))
        return Recipe(
            default, tuple((patterns([name]), _torchao_type(each)) for name, each in own.items()), skipped(given)
        )
    return Recipe(_torchao_type(kind), ignored=skipped(given))


def _quark_spec(own: Given) -> Stored | None:
    """Quark's tensors: a type, scaled by group, channel or tensor; `e8m0` scales are those of the MX formats."""
    weight, inputs = (_stored(own.get(key)) for key in ("weight", "input_tensors"))
    if weight is None:
        return None
    name = str(weight["dtype"])
    found = re.fullmatch(r"(u?int|fp|mxfp|float)(\d+)(_e\dm\d)?", name)
    if found is None:
        return None if re.fullmatch("b?float16|float32|none", name.lower()) else _refuse(f"weight.dtype={name}")
    bits, size = int(found[2]), grouped(weight, "group_size")
    if bits >= 16:
        return None
    zeros = 0 if weight.get("symmetric", True) else bits
    act = re.match(r"(int|fp)\d", str(inputs["dtype"])) if inputs else None
    numbers = {"num_bits": bits, "type": "int" if "int" in found[1] else "float", "group_size": size}
    return number({**numbers, "symmetric": not zeros}, _activations(act[0] if act else None, bits))


def _stored(value: Any) -> Any:
    """Of several steps of one tensor the narrowest: the others widen it for its product (INT4 to FP8), or narrow its scales (NVFP4)."""
    if not isinstance(value, list):
        return value
    return min(value, key=lambda own: int((re.findall(r"\d+", str(own.get("dtype"))) or ["64"])[0]), default=None)


def _activations(name: str | None, bits: int) -> Given | None:
    """MXFP4 activations are widened wherever the units are not AMD's, so that they count as wide."""
    if name is None or (name == "fp4" and bits == 4):
        return None
    return {"type": "int" if name.startswith("int") else "float", "num_bits": int(name[-1])}


def _refuse(what: str) -> Any:
    raise UnknownSchemeError(what)


def quark(given: Given) -> Recipe:
    own = given.get("layer_quant_config") or {}
    default = _quark_spec(given.get("global_quant_config") or {})
    targets = tuple((patterns([name]), _quark_spec(each)) for name, each in own.items())
    return Recipe(default, targets, skipped(given))
