"""A plan held against DeepSpeed: its own functions make the groups, split the layers and read the JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from compiler.checks import Status
from compiler.frameworks.deepspeed import layout, resolved, rules
from compiler.frameworks.deepspeed.emit import emission
from compiler.frameworks.deepspeed.package import Package, opened
from compiler.frameworks.deepspeed.recorded import recorded
from compiler.frameworks.proof import Finding, compared, groups
from compiler.frameworks.resolved import values
from compiler.world import World


def prove(world: World, source: Path | None) -> Iterator[Finding]:
    """Every kind of group, the layers, the experts and what DeepSpeed reads from our files.

    `source` is a wheel, a source archive or an unpacked one. Raises NotInstalledError.
    """
    with opened(world.size, source) as package:
        findings = [*_version(package, world)]
        if not findings:
            findings = _compared(package, world)
    yield from findings


def _version(package: Package, world: World) -> Iterator[Finding]:
    """What the version found refuses of this plan; nothing of it can be run then."""
    number = str(package.module("").__version__)
    config = replace(world.config, framework=replace(world.config.framework, version=number))
    for refused in rules.declared(config, (world.attention, world.expert)):
        if refused.status is Status.FAIL:
            yield Finding(
                refused.id, equal=False, planned=refused.observed, found=f"DeepSpeed {number}: {refused.limit}"
            )


def _compared(package: Package, world: World) -> list[Finding]:
    files = {item.path.rpartition("/")[2]: json.loads(str(item.text)) for item in emission(world).files}
    found = recorded(package, world, files)
    return [
        *(groups(kind, world.groups[kind], found[kind]) for kind in world.groups),
        *_layers(package, world, files["constructors.json"]),
        *_local(package, world, files),
        *_json(package, world, files["ds_config.json"]),
        *_arguments(package),
    ]


def _layers(package: Package, world: World, given: Mapping[str, Any]) -> Iterator[Finding]:
    """PipelineModule's own partition of as many entries as there are layers, and of a usual list by type."""
    pp, count = world.degrees.pp, world.config.model.num_hidden_layers
    if pp == 1:
        return
    layers = [SimpleNamespace(__name__="Layer") for _ in range(count)]
    planned = [list(map(list, stage)) for stage in world.stages.chunks]
    parts = _parts(package, layers, pp, given["PipelineModule"]["partition_method"])
    found = [[[first, after - 1]] for first, after in pairwise(parts)]
    yield compared("layers of each stage, partition_method=uniform", planned, found)
    if count % pp == 0:
        usual = [SimpleNamespace(__name__="Embedding"), *layers, SimpleNamespace(__name__="Norm"), len]
        parts = _parts(package, usual, pp, "type:layer")
        found = [[[first - (first > 0), min(after - 1, count) - 1]] for first, after in pairwise(parts)]
        yield compared("layers of each stage, partition_method=type:", planned, found)


def _parts(package: Package, entries: Sequence[Any], pp: int, method: str) -> list[int]:
    """Where PipelineModule cuts a list of entries, as seen by rank 1 (rank 0 prints)."""
    module = package.module("runtime.pipe.module").PipelineModule
    topology = package.module("runtime.pipe.topology").PipeDataParallelTopology(num_pp=pp, num_dp=1)
    rank = SimpleNamespace(
        num_stages=pp, global_rank=1, _topo=topology, _layer_specs=list(entries), _set_bounds=lambda **_: None
    )
    rank._find_layer_type = lambda name: module._find_layer_type(rank, name)  # noqa: SLF001 - its method
    module._partition_layers(rank, method)  # noqa: SLF001 - what its constructor calls
    return [int(part) for part in rank.parts]


def _local(package: Package, world: World, files: Mapping[str, Any]) -> Iterator[Finding]:
    """Experts of a rank: MoE built with our arguments, or AutoEP's division."""
    if not world.config.model.moe:
        return
    degrees, model = world.degrees, world.config.model
    counts = list(world.experts.counts)
    if layout.chosen(world.config).auto:
        yield compared("experts of each ep rank", counts, [model.num_experts // degrees.ep] * degrees.ep)
        return
    from torch import nn

    arguments = files["constructors.json"]["MoE"]
    layer = package.module("moe.layer").MoE(expert=nn.Identity(), **{**arguments, "hidden_size": 8})
    yield compared("experts of each ep rank", counts, [len(layer.deepspeed_moe.experts.deepspeed_experts)] * degrees.ep)


def _json(package: Package, world: World, content: Mapping[str, Any]) -> Iterator[Finding]:
    """What DeepSpeedConfig makes of ds_config.json, and AutoEP's validation of it."""
    config, degrees = world.config, world.degrees
    data = SimpleNamespace(get_data_parallel_world_size=lambda: degrees.adp)
    if degrees.cp > 1:  # Ulysses' state counts sequences by its own
        data = SimpleNamespace(get_sequence_parallel_world_size=lambda: degrees.cp)
    read = package.module("runtime.config").DeepSpeedConfig(dict(content), None if layout.folded(config) else data)
    yield from values(resolved.planned(world), resolved.read(read, package.module("runtime.engine").DeepSpeedEngine))
    if config.model.moe and layout.chosen(config).auto:
        yield compared("ds_config.json accepted by AutoEP", "accepted", _validated(package, world, read))


def _validated(package: Package, world: World, read: Any) -> str:
    try:
        package.module("module_inject.auto_ep_config").validate_autoep_config(
            read.expert_parallel_config,
            world.size,
            world.degrees.pp,
            world.degrees.tp,
            1,
            use_data_before_expert_parallel=bool(read.use_data_before_expert_parallel_),
        )
    except ValueError as error:
        return str(error)
    return "accepted"


def _arguments(package: Package) -> Iterator[Finding]:
    """The two options are those of deepspeed.add_config_arguments."""
    parser = package.module("").add_config_arguments(argparse.ArgumentParser())
    read = parser.parse_args(["--deepspeed", "--deepspeed_config", "ds_config.json"])
    yield compared("arguments", (True, "ds_config.json"), (read.deepspeed, read.deepspeed_config))
