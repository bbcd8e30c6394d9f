"""The chosen framework's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.checks import Check, Status, check, warned
from compiler.costs import room
from compiler.costs.case import case
from compiler.costs.total import Costs
from compiler.frameworks import known, needs
from compiler.frameworks.adapter import adapter
from compiler.frameworks.prefixes import prefixes
from compiler.frameworks.uncosted import uncosted
from compiler.invariants.registry import costed, declared, laid_out
from compiler.specs.config import Config
from compiler.world import World


@declared()
def of_the_configuration(config: Config) -> Iterator[Check]:
    """What the framework says of degrees, model and workload."""
    yield from adapter(config.framework.name).declared(config)


KEPT: Mapping[str, Any] = {
    "recompute_modules": [],
    "offload_modules": [],
    "lora_rank": None,
    "wide_layers": [],
    "optimizer": "adam",
    "muon_steps": 5,
    "overlapped_shared_experts": False,
    "delayed_weight_gradients": False,
    "fused_accumulation": True,
    "cuda_graphs": "none",
}
"""Keys of training that a framework may have no argument for, and what they are where nobody asks, beside `states`."""


@declared("framework-untold")
def untold(config: Config) -> Iterator[Check]:
    """Keys of training that a framework has no argument for: it would do otherwise than the plan costs."""
    workload, own = config.workload, adapter(config.framework.name)
    if not workload.train:
        return
    asked: dict[str, Any] = {f"states.{name}": value for name, value in workload.states.changed.items()}
    asked |= {key: value for key, usual in KEPT.items() if (value := getattr(workload, key)) != usual}
    if workload.recompute != "selective":
        asked.pop("recompute_modules", None)
    for key, value in asked.items():
        said = f"{key}={value}".replace(" ", "").replace("'", "")
        yield check(
            holds=own.hears is None or key in own.hears,
            observed=said,
            limit="what the framework can be told",
            message=f"workload.{said}: {config.framework.name} has no argument for it",
            fix=f"leave workload.{key} out",
        )


@declared()
def arguments(config: Config) -> Iterator[Check]:
    """Arguments that the framework's parser stops at, and those that costs do not follow."""
    own = adapter(config.framework.name)
    yield from known.rules(config, own.written(config), abbreviates=own.abbreviates, own=own.registered(config))
    yield from uncosted(config)
    yield from prefixes(config)


@declared()
def inputs(config: Config) -> Iterator[Check]:
    """What the program still wants of its user: it would stop, or run with what nobody means."""
    found = list(adapter(config.framework.name).needs(config))
    if found:
        yield needs.unmet(config.framework.name, found)


UNREAD = {
    "version": ("none",),
    "args": ("none",),
    "expert_layout": ("vllm", "sglang", "maxtext"),
}
"""Keys of `framework`, and the frameworks that never read them; the others say themselves what they cannot do."""


@declared("framework-setting")
def unread(config: Config) -> Iterator[Check]:
    """A key that the framework has no use for changes nothing."""
    name, moe = config.framework.name, config.model.moe
    for key, without in UNREAD.items():
        value = getattr(config.framework, key)
        if value and (name in without or (key == "expert_layout" and not moe)):
            what = f"framework={name}" if name in without else f"{config.model.name}, which has no experts"
            yield warned(
                observed=f"framework.{key}={value}",
                limit="none",
                message=f"framework.{key}={str(value).replace(' ', '')} has no effect on {what}",
                fix=f"leave framework.{key} out",
            )


@laid_out()
def of_the_ranks(world: World) -> Iterator[Check]:
    """What the framework says of ranks and where they sit."""
    yield from adapter(world.config.framework.name).laid_out(world)


@costed()
def of_what_runs(world: World, costs: Costs) -> Iterator[Check]:
    """What a server says of the sequences that run at a time; others wait."""
    config = world.config
    if not config.workload.train:
        let_in = room.running(case(world), costs.held, config.workload.longest).workload.global_batch_size
        yield from adapter(config.framework.name).running(config, let_in)
        yield from _graphs(world, -(-let_in // config.degrees.adp))


def _graphs(world: World, own: int) -> Iterator[Check]:
    """Steps of decode of `own` sequences on a rank, and the largest for which a graph is captured."""
    most, role = world.traits.graph_batch, world.config.workload.role
    if most is not None and role != "prefill":
        yield check(
            "graph-sizes",
            holds=own <= most,
            observed=f"{own} sequences",
            limit=f"{most}",
            message=f"{own} sequences run on an attention DP rank, and CUDA graphs are captured for up to {most}"
            + ": its steps are launched kernel by kernel, and costed so" * (own > most),
            fix=f"capture graphs of {own} sequences, or write a smaller workload.global_batch_size",
            otherwise=Status.WARN,
        )
