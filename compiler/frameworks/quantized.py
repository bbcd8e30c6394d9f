"""What an inference server makes of a checkpoint's own quantisation, by tables of its release: methods, activations, GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule, warned
from compiler.frameworks.options import options
from compiler.frameworks.versions import version
from compiler.specs.config import Config
from compiler.specs.model import BYTES

FLAG = "--quantization"

SAME = (
    ("awq", "auto_awq", "awq_marlin", "moe_wna16"),
    ("gptq", "auto_gptq", "gptq_marlin", "moe_wna16"),
    ("modelopt", "modelopt_fp8", "modelopt_fp4", "modelopt_mixed", "modelopt_mxfp8"),
    ("mxfp4", "gpt_oss_mxfp4"),
    ("auto-round", "inc"),
    ("compressed-tensors", "w8a8_int8", "w8a8_fp8"),
    ("quark", "quark_mxfp4"),
)
"""Names of one format: a server's own of its kernels, and those of checkpoints."""


@rule
def rules(config: Config, source: str, aliases: dict[str, str]) -> Iterator[Check]:
    """`source` names the server and its version; `aliases` are other spellings of its options."""
    model, name = config.model, config.framework.name
    method, precision = model.quantization.method, config.workload.precision
    if method is None or not model.keeps_quantization(precision):
        yield from _online(config, options(config.framework.args, aliases).get(FLAG))
        return
    facts = version(config).facts
    methods = facts["quantizations"]
    yield check(
        f"{name}-quantization",
        holds=method in methods,
        observed=method,
        limit=", ".join(methods),
        message=f"{source} loads no checkpoint of {method} ({facts['quantization_source']})",
        fix="take a checkpoint in a format that it loads, or another framework",
    )
    yield from _bits(config, source, method, facts["integer_bits"].get(method))
    wide, known = model.wide(precision), facts["activations"].get(method, ["bf16", "fp16"])
    yield check(
        f"{name}-quantization-dtype",
        holds=wide in known,
        observed=wide,
        limit=" or ".join(known),
        message=f"{source} computes {method} checkpoints with activations in {' or '.join(known)}, and they would be in {wide}",
        fix="leave workload.precision out"
        if precision == wide != model.dtype
        else f"write workload.precision={known[0]}",
    )
    asked = options(config.framework.args, aliases).get(FLAG)
    fits = {name for names in SAME if method in names for name in names} | {method, "humming"}
    yield check(
        f"{name}-quantization-flag",
        holds=asked is None or asked in fits,
        observed=asked or "none",
        limit=method,
        message=f"the checkpoint is quantised by {method}, and {source} refuses {FLAG}={asked} beside it",
        fix=f"leave {FLAG} out: the server reads the checkpoint's own",
    )


@rule
def _online(config: Config, asked: str | None) -> Iterator[Check]:
    """Weights that the server quantises as it loads them are counted by `workload.precision` alone."""
    precision = config.workload.precision
    if asked is not None and asked != precision:
        own = (
            f"write workload.precision={asked}"
            if asked in BYTES
            else "name a checkpoint that is quantised so by model.hf_config"
        )
        yield warned(
            f"{config.framework.name}-quantization-uncosted",
            observed=asked,
            limit=precision,
            message=f"{FLAG}={asked} in framework.args quantises weights, and memory and times are of workload.precision={precision}",
            fix=f"{own}, and leave {FLAG} out",
        )


@rule
def _bits(config: Config, source: str, method: str, known: list[int] | None) -> Iterator[Check]:
    """Integers of some sizes alone have kernels."""
    schemes = (name for form in config.model.stored.values() for name in form.scheme.split("+"))
    found = {name for name in schemes if name.startswith("int")}
    bad = sorted(found - {f"int{bits}" for bits in known or ()}) if known else []
    yield check(
        f"{config.framework.name}-quantization-bits",
        holds=not bad,
        observed=", ".join(sorted(found)) or "none",
        limit=", ".join(f"int{bits}" for bits in known or ()) or "any",
        message=f"{source} has kernels for {method} weights of {' or '.join(map(str, known or ()))} bits, and the checkpoint has {', '.join(bad)}",
        fix="take a checkpoint of 4 bits",
    )


def widens(config: Config, precision: str) -> bool:
    """Whether kernels take weights of that precision as they are and widen them for the product, as Marlin's do."""
    return precision not in version(config).facts["native"].get(config.model.quantization.method, [])
