"""What torchtitan reads from the plan's arguments, and its stages, experts and models."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import make_dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from compiler.errors import ConfigError
from compiler.frameworks.proof import Finding, compared
from compiler.frameworks.torchtitan.arguments import known_model
from compiler.frameworks.torchtitan.emit import emission
from compiler.layout.stages import span
from compiler.specs.model import Model
from compiler.world import World

SECTIONS = ("--parallelism.", "--training.")


def parsed(world: World) -> Any:
    """`training`, `parallelism` and `activation_checkpoint`, read by torchtitan's own parser. Raises ConfigError."""
    import tyro
    from torchtitan.config import manager
    from torchtitan.config.configs import ParallelismConfig, TrainingConfig
    from torchtitan.distributed import activation_checkpoint

    manager.ConfigManager()  # registers its rules for lists
    policies = activation_checkpoint.ActivationCheckpointingConfig
    sections = make_dataclass(
        "Sections",
        [("training", TrainingConfig), ("parallelism", ParallelismConfig), ("activation_checkpoint", policies)],
    )
    default = sections(TrainingConfig(), ParallelismConfig(), activation_checkpoint.SelectiveAC.Config())
    words = list(_ours(world))
    try:
        return tyro.cli(sections, args=words, default=default, registry=manager.custom_registry, console_outputs=False)
    except SystemExit as error:
        raise ConfigError.of(
            f"torchtitan's parser refuses {' '.join(words)}", "prove with the version that the rules are for"
        ) from error


def _ours(world: World) -> Iterator[str]:
    """The arguments of the sections, with their values, and the subcommand."""
    mine = False
    for argument in emission(world).arguments:
        text = str(argument)
        mine = text.replace("-", "_").startswith(tuple(s.replace("-", "_") for s in SECTIONS)) or (
            mine and not text.startswith("-")
        )
        if mine or text.replace("-", "_").startswith("activation_checkpoint:"):
            yield text


def stages(world: World, parallelism: Any) -> Iterator[Finding]:
    """The layers of every chunk, by torchtitan's rule or by the modules that the arguments name."""
    from torchtitan.distributed import pipeline_parallel as rule

    pp, layers = world.degrees.pp, world.config.model.num_hidden_layers
    if pp == 1:
        return
    model = SimpleNamespace(layers=[None] * layers)
    parts, *shape = rule._get_pipeline_metadata(SimpleNamespace(pp=pp), parallelism, model)  # noqa: SLF001 - the oracle
    names = parallelism.module_fqns_per_model_part or rule._generate_llm_fqn_per_model_part(parts, *shape)  # noqa: SLF001 - same
    schedule = parallelism.pipeline_parallel_schedule
    for rank, chunks in enumerate(world.stages.chunks):
        held = rule._get_pp_rank_to_stage_indices_mapping(rank, pp, schedule, len(names))  # noqa: SLF001 - same
        found = [[int(name.split(".")[1]) for name in names[stage] if name.startswith("layers.")] for stage in held]
        planned = [list(range(first, last + 1)) for first, last in chunks]
        yield compared(f"layers of pp={rank}", planned, found)


def experts(world: World) -> Iterator[Finding]:
    """The experts of each ep rank: DTensor's Shard(0) on the mesh dimension `ep`."""
    if not world.experts.blocks:
        return
    from torch.distributed.tensor.placement_types import Shard

    count, ep = world.config.model.num_experts, world.degrees.ep
    shards = [Shard.local_shard_size_and_offset(count, ep, rank) for rank in range(ep)]
    theirs = " ".join(span(first, first + size - 1) for size, first in shards)
    ours = " ".join(";".join(span(*block) for block in blocks) for blocks in world.experts.blocks)
    yield compared(f"experts of {ep} ep ranks", ours, theirs)


def model(world: World) -> Iterator[Finding]:
    """The architecture that the registered config builds."""
    row, planned = known_model(world.config), world.config.model
    if row is None:
        return
    name = f"torchtitan.models.{row['module']}"
    with warnings.catch_warnings(action="ignore"):  # torch deprecates parts of itself
        built = importlib.import_module(name).model_registry(row["flavor"]).model
    moes = [getattr(layer, "moe", None) for layer in built.layers]
    moe = next((found for found in moes if found is not None), None)
    yield compared(f"model {row['config']}", _planned(planned, row), _built(built, moe))
    if moe:
        yield compared("MoE layers", planned.moe_layers, tuple(found is not None for found in moes))
        yield compared("expert hidden size", planned.expert_size, moe.routed_experts.inner_experts.hidden_dim)
    spec = find_spec(f"{name}.config_registry")  # importing it would take every package of the data pipeline
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    yield compared(f"config {row['config']}", True, f"def {row['config']}(" in source)


def _planned(model: Model, row: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of the plan's model, with the positions and kernels that `row` knows of the registered one."""
    return {
        "layers": model.num_hidden_layers,
        "hidden": model.hidden_size,
        "heads": model.num_attention_heads,
        "kv_heads": model.kv_heads,
        "vocab": model.vocab_size,
        "experts": model.num_experts,
        "positions": row["positions"],
        "attention": {"flex": "FlexAttention", "varlen": "VarlenAttention"}[str(row.get("attention", "flex"))],
    }


def _built(model: Any, moe: Any) -> dict[str, Any]:
    """The same of torchtitan's configuration of a model; `moe` is that of a layer with experts, or None."""
    attention = model.first_attention
    return {
        "layers": len(model.layers),
        "hidden": model.dim,
        "heads": attention.n_heads,
        "kv_heads": getattr(attention, "n_kv_heads", None) or attention.n_heads,
        "vocab": model.vocab_size,
        "experts": moe.num_experts if moe else 0,
        "positions": model.max_seq_len,
        "attention": type(attention.inner_attention).__qualname__.split(".")[0],
    }
