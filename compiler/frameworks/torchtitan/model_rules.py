"""The model: which registered one it is, and what it can be cut into."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule, warned
from compiler.frameworks.torchtitan.arguments import backend, given, known_model
from compiler.frameworks.torchtitan.emit import PRECISION
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    yield from heads(config)
    yield from vocabulary(config)
    yield from registered(config)
    yield from positions(config)
    yield from context_parallel(config)
    yield from precision(config)
    yield from predicted(config)


@rule
def heads(config: Config) -> Iterator[Check]:
    model, tp = config.model, config.degrees.tp
    count, kv = model.num_attention_heads, model.num_attention_heads if model.mla else model.kv_heads
    yield check(
        "torchtitan-heads",
        holds=count % tp == 0 and kv % tp == 0,
        observed=f"{count} and {kv} % {tp}",
        limit="0",
        message=f"torchtitan 0.3 models/common/decoder.py: tp={tp} divides {count} heads and {kv} key-value heads",
        fix=f"write a divisor of {kv} in parallel.tp",
    )


@rule
def vocabulary(config: Config) -> Iterator[Check]:
    rows, tp = config.model.vocab_size, config.degrees.tp
    yield check(
        "torchtitan-vocabulary",
        holds=rows % tp == 0,
        observed=f"{rows} % {tp} = {rows % tp}",
        limit="0",
        message=f"torchtitan 0.3 models/common/decoder_sharding.py cuts a vocabulary of {rows} rows over tp={tp} and pads nothing",
        fix=f"write model.vocab_size={-(-rows // tp) * tp}",
        otherwise=Status.WARN,
    )


@rule
def registered(config: Config) -> Iterator[Check]:
    row, said = known_model(config), given(config)
    found = f"{row['module']}.{row['config']}" if row else said.get("--config", "none")
    model = config.model
    yield check(
        "torchtitan-model",
        holds=row is not None or {"--module", "--config"} <= set(said),
        observed=found,
        limit="a registered config",
        message=f"torchtitan 0.3 takes models from its config_registry: {found} for {model.num_hidden_layers} layers of {model.hidden_size}",
        fix="write a config_registry function and framework.args=[--module,PACKAGE,--config,FUNCTION]",
        otherwise=Status.WARN,
    )


@rule
def positions(config: Config) -> Iterator[Check]:
    row = known_model(config)
    if row is None:
        return
    length, limit = config.workload.longest, int(row["positions"])
    yield check(
        "torchtitan-positions",
        holds=length <= limit,
        observed=length,
        limit=limit,
        message=f"torchtitan 0.3 models/common/decoder.py: {row['config']} has positions for {limit} tokens, sequences {length}",
        fix=f"write workload.sequence_length={limit} or less",
    )


@rule
def context_parallel(config: Config) -> Iterator[Check]:
    """FlexAttention alone knows it; a config of the user's own is unknown."""
    row = known_model(config)
    if config.degrees.cp == 1 or backend(config) == "partial_dtensor":
        return
    attention = "unknown" if row is None else str(row.get("attention", "flex"))
    yield check(
        "torchtitan-context-attention",
        holds=attention == "flex",
        observed=attention,
        limit="flex",
        message=f"torchtitan 0.3 distributed/full_dtensor.py: cp={config.degrees.cp} needs FlexAttention, the model's attention is {attention}",
        fix="write parallel.cp=1" if row else "make sure that the model's config has attn_backend='flex'",
        otherwise=Status.FAIL if row else Status.WARN,
    )


@rule
def precision(config: Config) -> Iterator[Check]:
    wanted, row = config.workload.precision, known_model(config)
    yield check(
        "torchtitan-precision",
        holds=wanted in PRECISION,
        observed=wanted,
        limit=", ".join(PRECISION),
        message=f"torchtitan 0.3 config/configs.py: mixed_precision_param is bfloat16 or float32; the plan says {wanted}",
        fix="write workload.precision=bf16",
    )
    built = "bf16" if row is None else str(row.get("precision", "bf16"))
    if row is not None and "fp8" in (wanted, built):
        yield check(
            "torchtitan-linear-precision",
            holds=wanted == built,
            observed=built,
            limit=wanted,
            message=f"torchtitan 0.3 {row['config']} runs its linear layers in {built}, the plan says {wanted}",
            fix=f"write workload.precision={built}, or a config of that kind in framework.args=[--module,PACKAGE,--config,FUNCTION]",
            otherwise=Status.WARN,
        )


@rule
def predicted(config: Config) -> Iterator[Check]:
    """Silent: the registered configs leave multi-token prediction out."""
    layers, row = config.model.num_nextn_predict_layers, known_model(config)
    if row is None or layers == 0:
        return
    yield warned(
        "torchtitan-mtp",
        observed=layers,
        limit=0,
        message=f"torchtitan 0.3 {row['config']} has no multi-token prediction, the model {layers} such layers",
        fix="write model.num_nextn_predict_layers=0",
    )
