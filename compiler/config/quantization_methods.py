"""What each method of quantisation writes into a `config.json`, read into forms: a function a method, found by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from compiler.config.quantization_forms import (
    BLOCK,
    FORMATS,
    FP8,
    INT8,
    INT8_WEIGHTS,
    MXFP4,
    MXFP8,
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
from compiler.config.quantization_toolkits import compressed_tensors, modelopt, number, quark, torchao
from compiler.specs.weights import Stored


def _fp8(given: Given) -> Recipe:
    size = given.get("weight_block_size")
    form = block(*size) if size else FP8
    experts = ((patterns(["experts"]), MXFP4),) if given.get("expert_dtype") == "fp4" else ()  # DeepSeek-V4
    return Recipe(form, experts, skipped(given))


def _blockwise_int8(given: Given) -> Recipe:
    """INT8 with a scale of 32 bits for each block (SGLang layers/quantization/blockwise_int8.py)."""
    rows, columns = given.get("weight_block_size") or (128, 128)
    return Recipe(replace(block(rows, columns), scheme="int8", activations="int8"), ignored=skipped(given))


def _same(form: Stored) -> Callable[[Given], Recipe]:
    return lambda given: Recipe(form, ignored=skipped(given))


def _mxfp4(given: Given) -> Recipe:
    """Experts alone (`Mxfp4Config` of transformers and of vLLM)."""
    return Recipe(MXFP4, ignored=skipped(given), kinds=("experts",))


def _awq(given: Given) -> Recipe:
    bits = bits_of(given, "bits", "w_bit", usual=4)
    zeros = bits if given.get("zero_point", True) else 0
    group = grouped(given, "group_size", "q_group_size", usual=128)
    return Recipe(integer(bits, group, 16 + zeros), ignored=skipped(given))


def _gptq(given: Given) -> Recipe:
    """A zero point is always kept, as wide as a weight; `dynamic` has other forms by regular expression, or none behind `-:`."""

    def form(own: Given) -> Stored:
        both = {**given, **own}
        bits = bits_of(both, "bits")
        return integer(bits, grouped(both, "group_size", usual=128), 16 + bits)

    own = dict(given.get("dynamic") or {})
    left = [f"re:{text[2:]}" for text in own if text.startswith("-:")]
    targets = tuple((patterns([f"re:{text.removeprefix('+:')}"]), form(own[text])) for text in own if text[:2] != "-:")
    head = ("head",) if given.get("lm_head") else ()
    return Recipe(form({}), targets, patterns(skipped(given).texts, left), (*Recipe.kinds, *head))


def _auto_round(given: Given) -> Recipe:
    kind, bits = str(given.get("data_type", "int")), bits_of(given, "bits", usual=4)
    if kind == "int":
        form = _gptq({"group_size": 128, "bits": bits, **given}).default
    else:
        form = number({"num_bits": bits, "type": "float", "group_size": given.get("group_size")}, None)
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
        return integer(bits_of(chosen, "nbits"), grouped(chosen, "group_size"), 32)

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


def _w4afp8(given: Given) -> Recipe:
    """Experts of INT4 in groups of 128, all else of FP8 (SGLang layers/quantization/w4afp8.py)."""
    return Recipe(BLOCK, ((patterns(["experts"]), integer(4, 128, activations="fp8")),), skipped(given))


METHODS: Mapping[str, Callable[[Given], Recipe]] = {
    "fp8": _fp8,
    "fbgemm_fp8": _same(FP8),
    "w8a8_fp8": _same(FP8),
    "w8a8_int8": _same(INT8),
    "blockwise_int8": _blockwise_int8,
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
    "compressed-tensors": compressed_tensors,
    "modelopt": modelopt,
    "modelopt_fp8": modelopt,
    "modelopt_fp4": modelopt,
    "modelopt_mxfp8": modelopt,
    "modelopt_mixed": modelopt,
    "quark": quark,
    "torchao": torchao,
    "w4afp8": _w4afp8,
}
"""`quant_method` -> its reader."""
