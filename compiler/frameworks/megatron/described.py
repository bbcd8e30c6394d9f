"""What a config.json says and Megatron's arguments do not: told, never dropped without a word."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks.megatron import hybrid, layer, positions
from compiler.frameworks.megatron.options import source
from compiler.frameworks.unsaid import unsaid
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    lost = (*layer.unsaid(config), *positions.unsaid(config))
    yield from unsaid("megatron", source(config, "arguments.py"), lost)
    yield from hybrid.declared(config, source(config, "core"))
    yield from _expert_biases(config)
    yield from _learned(config)
    yield from _predicted(config)


@rule
def _expert_biases(config: Config) -> Iterator[Check]:
    """An assertion of the configuration."""
    model, etp = config.model, config.degrees.etp
    if model.moe and layer.all_biases(model):
        yield check(
            "megatron-expert-biases",
            holds=etp == 1,
            observed=f"etp={etp}",
            limit="etp=1",
            message=f"{source(config, 'transformer_config.py')} has biases in experts (model.mlp_bias) at etp=1 alone; the plan says etp={etp}",
            fix="write parallel.etp=1",
        )


@rule
def _learned(config: Config) -> Iterator[Check]:
    model, length = config.model, config.workload.longest
    rows = model.max_position_embeddings
    if model.position_embedding_type == "absolute" and rows is not None:
        yield check(
            "megatron-learned-positions",
            holds=length <= rows,
            observed=length,
            limit=rows,
            message=f"model.max_position_embeddings={rows} learned positions for sequences of {length} tokens: the table gets {max(length, rows)} rows",
            fix=f"write workload.sequence_length={rows}",
            otherwise=Status.WARN,
        )


@rule
def _predicted(config: Config) -> Iterator[Check]:
    """An assertion about arguments."""
    layers, kind = config.model.num_nextn_predict_layers, positions.kind(config)
    if layers:
        yield check(
            "megatron-mtp-positions",
            holds=kind in ("rope", "none"),
            observed=kind,
            limit="rope or none",
            message=f"{source(config, 'arguments.py')} has MTP layers with --position-embedding-type rope or none; the model has {kind}",
            fix="write model.num_nextn_predict_layers=0",
        )
