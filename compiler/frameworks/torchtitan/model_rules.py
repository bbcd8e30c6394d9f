"""The model: which registered one it is, and what it can be cut into."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks.torchtitan.arguments import backend, given, known_model
from compiler.frameworks.torchtitan.emit import PRECISION
from compiler.specs.config import Config


def declared(config: Config) -> Iterator[Check]:
    yield from heads(config)
    yield from vocabulary(config)
    yield from registered(config)
    yield from positions(config)
    yield from context_parallel(config)
    yield from precision(config)
    yield from predicted(config)


def heads(config: Config) -> Iterator[Check]:
    model, tp = config.model, config.degrees.tp
    count, kv = model.num_attention_heads, model.num_attention_heads if model.mla else model.kv_heads
    yield check(
        "torchtitan-heads",
        count % tp == 0 and kv % tp == 0,
        f"{count} and {kv} % {tp}",
        "0",
        f"torchtitan 0.3 models/common/decoder.py: tp={tp} divides {count} heads and {kv} key-value heads",
        f"write a divisor of {kv} in parallel.tp",
    )


def vocabulary(config: Config) -> Iterator[Check]:
    rows, tp = config.model.vocab_size, config.degrees.tp
    yield check(
        "torchtitan-vocabulary",
        rows % tp == 0,
        f"{rows} % {tp} = {rows % tp}",
        "0",
        f"torchtitan 0.3 models/common/decoder_sharding.py cuts a vocabulary of {rows} rows over tp={tp} and pads nothing",
        f"write model.vocab_size={-(-rows // tp) * tp}",
        otherwise="warn",
    )


def registered(config: Config) -> Iterator[Check]:
    row, said = known_model(config), given(config)
    found = f"{row['module']}.{row['config']}" if row else said.get("--config", "none")
    model = config.model
    yield check(
        "torchtitan-model",
        row is not None or {"--module", "--config"} <= set(said),
        found,
        "a registered config",
        f"torchtitan 0.3 takes models from its config_registry: {found} for {model.num_hidden_layers} layers of {model.hidden_size}",
        "write a config_registry function and framework.args=[--module,PACKAGE,--config,FUNCTION]",
        otherwise="warn",
    )


def positions(config: Config) -> Iterator[Check]:
    row = known_model(config)
    if row is None:
        return
    length, limit = config.workload.longest, int(row["positions"])
    yield check(
        "torchtitan-positions",
        length <= limit,
        length,
        limit,
        f"torchtitan 0.3 models/common/decoder.py: {row['config']} has positions for {limit} tokens, sequences {length}",
        f"write workload.sequence_length={limit} or less",
    )


def context_parallel(config: Config) -> Iterator[Check]:
    """FlexAttention alone knows it; a config of the user's own is unknown."""
    row = known_model(config)
    if config.degrees.cp == 1 or backend(config) == "partial_dtensor":
        return
    attention = "unknown" if row is None else str(row.get("attention", "flex"))
    yield check(
        "torchtitan-context-attention",
        attention == "flex",
        attention,
        "flex",
        f"torchtitan 0.3 distributed/full_dtensor.py: cp={config.degrees.cp} needs FlexAttention, the model's attention is {attention}",
        "write parallel.cp=1" if row else "make sure that the model's config has attn_backend='flex'",
        otherwise="fail" if row else "warn",
    )


def precision(config: Config) -> Iterator[Check]:
    wanted, row = config.workload.precision, known_model(config)
    yield check(
        "torchtitan-precision",
        wanted in PRECISION,
        wanted,
        ", ".join(PRECISION),
        f"torchtitan 0.3 config/configs.py: mixed_precision_param is bfloat16 or float32; the plan says {wanted}",
        "write workload.precision=bf16",
    )
    built = "bf16" if row is None else str(row.get("precision", "bf16"))
    if row is not None and "fp8" in (wanted, built):
        yield check(
            "torchtitan-linear-precision",
            wanted == built,
            built,
            wanted,
            f"torchtitan 0.3 {row['config']} runs its linear layers in {built}, the plan says {wanted}",
            f"write workload.precision={built}, or a config of that kind in framework.args=[--module,PACKAGE,--config,FUNCTION]",
            otherwise="warn",
        )


def predicted(config: Config) -> Iterator[Check]:
    """Silent: the registered configs leave multi-token prediction out."""
    layers, row = config.model.num_nextn_predict_layers, known_model(config)
    if row is None or layers == 0:
        return
    yield check(
        "torchtitan-mtp",
        False,
        layers,
        0,
        f"torchtitan 0.3 {row['config']} has no multi-token prediction, the model {layers} such layers",
        "write model.num_nextn_predict_layers=0",
        otherwise="warn",
    )
