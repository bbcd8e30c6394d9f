"""What each method of quantisation writes into a `config.json`, read into forms: a function a method, found by its name.

Scales and zero points are counted; those of a whole channel or matrix are too few to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.config.modules import Module, Patterns
from compiler.specs.weights import Stored

Given = Mapping[str, Any]


class UnknownSchemeError(Exception):
    """A value that a method may have and this reader does not know; its text names it."""


@dataclass(frozen=True)
class Recipe:
    """Forms by pattern, the first that fits, else `default` for every matrix but tables; `ignored` are not quantised."""

    default: Stored | None = None
    targets: tuple[tuple[Patterns, Stored | None], ...] = ()
    ignored: Patterns = Patterns(())  # noqa: RUF009 (frozen)
    kinds: tuple[str, ...] = ("attention", "mlp", "shared_experts", "experts")

    def form(self, module: Module) -> Stored | None:
        if self.ignored.pick(module):
            return None
        named = [form for patterns, form in self.targets if patterns.pick(module)]
        if named:
            return named[0]
        return self.default if module.kind in self.kinds else None


def integer(bits: float, group: int = 0, extra_bits: float = 16, activations: str | None = None) -> Stored:
    """Integers with a scale, and maybe a zero point, of `extra_bits` together for each `group`; 0 or less: one a channel."""
    share = extra_bits / group if group > 0 else 0
    return Stored(f"int{bits:g}", bits + share, activations, [1, group] if group > 0 else None)


def block(rows: int, columns: int, scale_bits: float = 32) -> Stored:
    return Stored("fp8", 8 + scale_bits / (rows * columns), "fp8", [rows, columns])


FP8, FP8_WEIGHTS = Stored("fp8", 8.0, "fp8"), Stored("fp8", 8.0)
INT8, INT8_WEIGHTS = integer(8, activations="int8"), integer(8)
MXFP8 = Stored("mxfp8", 8.25, "mxfp8", [1, 32])
MXFP4 = Stored("mxfp4", 4.25, None, [1, 32])
NVFP4, NVFP4_WEIGHTS = Stored("nvfp4", 4.5, "nvfp4", [1, 16]), Stored("nvfp4", 4.5, None, [1, 16])
FORMATS = {"fp8": FP8, "mxfp8": MXFP8, "mxfp4": MXFP4, "nvfp4": NVFP4}
BLOCK = block(128, 128)


def patterns(*lists: Iterable[str] | None) -> Patterns:
    return Patterns(tuple(str(text) for texts in lists for text in texts or ()))


def skipped(given: Given) -> Patterns:
    """Modules that stay as they are, by every name of that list."""
    keys = ("ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "exclude", "skip_modules")
    return patterns(*(given.get(key) for key in (*keys, "llm_int8_skip_modules")))


def _fp8(given: Given) -> Recipe:
    size = given.get("weight_block_size")
    form = block(*size) if size else FP8
    experts = ((patterns(["experts"]), MXFP4),) if given.get("expert_dtype") == "fp4" else ()  # DeepSeek-V4
    return Recipe(form, experts, skipped(given))


def _same(form: Stored) -> Callable[[Given], Recipe]:
    return lambda given: Recipe(form, ignored=skipped(given))


def _mxfp4(given: Given) -> Recipe:
    """Experts alone (`Mxfp4Config` of transformers and of vLLM)."""
    return Recipe(MXFP4, ignored=skipped(given), kinds=("experts",))


def _awq(given: Given) -> Recipe:
    bits = given.get("bits", given.get("w_bit", 4))
    zeros = bits if given.get("zero_point", True) else 0
    return Recipe(
        integer(bits, given.get("group_size", given.get("q_group_size", 128)), 16 + zeros), ignored=skipped(given)
    )


def _gptq(given: Given) -> Recipe:
    """A zero point is always kept, as wide as a weight; `dynamic` has other forms by regular expression, or none behind `-:`."""

    def form(own: Given) -> Stored:
        bits = own.get("bits", given["bits"])
        return integer(bits, own.get("group_size", given.get("group_size", 128)), 16 + bits)

    own = dict(given.get("dynamic") or {})
    left = [f"re:{text[2:]}" for text in own if text.startswith("-:")]
    targets = tuple((patterns([f"re:{text.removeprefix('+:')}"]), form(own[text])) for text in own if text[:2] != "-:")
    head = ("head",) if given.get("lm_head") else ()
    return Recipe(form({}), targets, patterns(skipped(given).texts, left), (*Recipe.kinds, *head))


def _auto_round(given: Given) -> Recipe:
    kind, bits = str(given.get("data_type", "int")), given.get("bits", 4)
    if kind == "int":
        form = _gptq({"group_size": 128, "bits": bits, **given}).default
    else:
        form = _number({"num_bits": bits, "type": "float", "group_size": given.get("group_size")}, None)
    wide = [name for name, own in (given.get("extra_config") or {}).items() if own.get("bits", bits) >= 16]
    return Recipe(form, ignored=patterns(skipped(given).texts, wide))


def _bitsandbytes(given: Given) -> Recipe:
    """NF4 and FP4 keep an FP32 maximum of 64 weights, or one byte and an FP32 one of 256 of these (QLoRA, 2305.14314)."""
    if given.get("load_in_8bit") or given.get("_load_in_8bit"):
        return Recipe(INT8, ignored=skipped(given))
    scale = 8 + 32 / 256 if given.get("bnb_4bit_use_double_quant") else 32
    return Recipe(
        Stored(str(given.get("bnb_4bit_quant_type", "fp4")), 4 + scale / 64, None, [1, 64]), ignored=skipped(given)
    )


def _hqq(given: Given) -> Recipe:
    """A scale and a zero point of 16 bits for each group; parameters for all, or by the name of a matrix."""

    def form(own: Given) -> Stored:
        chosen = own["weight_quant_params"]
        return integer(chosen["nbits"], chosen.get("group_size") or 0, 32)

    own = given["quant_config"]
    if "weight_quant_params" in own:
        return Recipe(form(own), ignored=skipped(given))
    return Recipe(None, tuple((patterns([name]), form(each)) for name, each in own.items()), skipped(given))


def _bitnet(given: Given) -> Recipe:
    """Three values, four weights a byte; a checkpoint that is quantised as it runs has them wide."""
    online = given.get("quantization_mode") == "online"
    return Recipe(None if online else Stored("ternary", 2.0, "int8"), ignored=skipped(given))


def _fp_quant(given: Given) -> Recipe:
    kind = str(given.get("forward_dtype", "mxfp4"))
    if kind not in FORMATS:
        raise UnknownSchemeError(f"forward_dtype={kind}")
    return Recipe(FORMATS[kind], ignored=skipped(given))


def _number(weights: Given, activations: Given | None) -> Stored:
    """A form from numbers of bits, as compressed-tensors writes it."""
    bits, kind, size = weights["num_bits"], str(weights.get("type", "int")), weights.get("group_size") or 0
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


def _compressed_tensors(given: Given) -> Recipe:
    """Groups, each of the matrices that its targets name, or of every linear one."""
    sparse = (given.get("sparsity_config") or {}).get("format", "dense")
    if sparse != "dense":
        raise UnknownSchemeError(f"sparsity_config.format={sparse}")
    default, targets = None, []
    for group in (given.get("config_groups") or {}).values():
        if not group.get("weights"):
            continue
        form, names = _number(group["weights"], group.get("input_activations")), group.get("targets") or ["Linear"]
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
    return ALGORITHMS[str(name).upper()](given.get("group_size") or 0)


def _modelopt(given: Given) -> Recipe:
    """One algorithm for all, or one for each of many matrices; groups as those of compressed-tensors where neither is said."""
    layers = given.get("quantized_layers")
    if layers:
        targets = tuple((patterns([name]), _algorithm(own)) for name, own in layers.items())
        return Recipe(None, targets, skipped(given))
    if "quant_algo" not in given:
        return _compressed_tensors(given)
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
            return form(values.get("group_size") or 0)
    raise UnknownSchemeError(f"quant_type={name}")


def _torchao(given: Given) -> Recipe:
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
    weight, inputs = (_first(own.get(key)) for key in ("weight", "input_tensors"))
    if weight is None:
        return None
    name = str(weight["dtype"])
    found = re.fullmatch(r"(u?int|fp|mxfp|float)(\d+)(_e\dm\d)?", name)
    if found is None:
        return None if re.fullmatch("b?float16|float32|none", name.lower()) else _refuse(f"weight.dtype={name}")
    bits, size = int(found[2]), weight.get("group_size") or 0
    if bits >= 16:
        return None
    zeros = 0 if weight.get("symmetric", True) else bits
    act = re.match(r"(int|fp)\d", str(inputs["dtype"])) if inputs else None
    numbers = {"num_bits": bits, "type": "int" if "int" in found[1] else "float", "group_size": max(size, 0)}
    return _number({**numbers, "symmetric": not zeros}, _activations(act[0] if act else None, bits))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _activations(name: str | None, bits: int) -> Given | None:
    """MXFP4 activations are widened wherever the units are not AMD's, so that they count as wide."""
    if name is None or (name == "fp4" and bits == 4):
        return None
    return {"type": "int" if name.startswith("int") else "float", "num_bits": int(name[-1])}


def _refuse(what: str) -> Any:
    raise UnknownSchemeError(what)


def _quark(given: Given) -> Recipe:
    own = given.get("layer_quant_config") or {}
    default = _quark_spec(given.get("global_quant_config") or {})
    targets = tuple((patterns([name]), _quark_spec(each)) for name, each in own.items())
    return Recipe(default, targets, skipped(given))


def _w4afp8(given: Given) -> Recipe:
    """Experts of INT4 in groups of 128, all else of FP8 (SGLang layers/quantization/w4afp8.py)."""
    return Recipe(BLOCK, ((patterns(["experts"]), integer(4, 128, activations="fp8")),), skipped(given))


METHODS: Mapping[str, Callable[[Given], Recipe]] = {
    "fp8": _fp8,
    "fbgemm_fp8": _same(FP8),
    "w8a8_fp8": _same(FP8),
    "w8a8_int8": _same(INT8),
    "blockwise_int8": _same(INT8),
    "eetq": _same(INT8_WEIGHTS),
    "mxfp8": _same(MXFP8),
    "mxfp4": _mxfp4,
    "gpt_oss_mxfp4": _mxfp4,
    "awq": _awq,
    "auto_awq": _awq,
    "awq_marlin": _awq,
    "gptq": _gptq,
    "auto_gptq": _gptq,
    "gptq_marlin": _gptq,
    "auto-round": _auto_round,
    "inc": _auto_round,
    "bitsandbytes": _bitsandbytes,
    "hqq": _hqq,
    "bitnet": _bitnet,
    "fp_quant": _fp_quant,
    "compressed-tensors": _compressed_tensors,
    "compressed_tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "modelopt_fp8": _modelopt,
    "modelopt_fp4": _modelopt,
    "modelopt_mxfp8": _modelopt,
    "modelopt_mixed": _modelopt,
    "quark": _quark,
    "torchao": _torchao,
    "w4afp8": _w4afp8,
}
"""`quant_method` -> its reader."""
