"""From a configuration to ranks: grids by the framework's rules, then stages, experts and slots."""

from __future__ import annotations

from dataclasses import replace

from compiler.cluster.hosts import of_plan
from compiler.cluster.share import share
from compiler.cluster.slots import Slots, from_inventory, nominal
from compiler.expert_map import mapped
from compiler.frameworks.adapter import adapter
from compiler.frameworks.stage_rule import stage_layers
from compiler.layout.experts import ExpertBlocks
from compiler.layout.stages import Stages, split
from compiler.specs.config import Config
from compiler.world import World


def lay_out(config: Config) -> World:
    """Ranks of one instance. The declared invariants must hold."""
    rules = adapter(config.framework.name)
    attention, expert = rules.grids(config)
    stages = split(stage_layers(config) or (), config.parallel.pp)
    return World(
        config=config,
        degrees=config.degrees,
        instances=config.framework.instances,
        attention=attention,
        expert=expert,
        stages=stages,
        experts=experts(config, stages),
        slots=_slots(config),
        kinds=rules.kinds(config, attention, expert),
        traits=rules.traits(config),
    )


def experts(config: Config, stages: Stages) -> ExpertBlocks:
    """Experts of each expert-parallel rank; by layer where the server is started with a map."""
    rules = adapter(config.framework.name)
    found = rules.experts(config, stages)
    return replace(found, by_layer=mapped(config, found) and rules.takes_map(config))


def _slots(config: Config) -> Slots:
    """Slots of every instance; enough for the ranks even where a cluster that nobody has checked is too small."""
    own, hardware = share(config), config.hardware
    return _places(config, max(hardware.nodes, own.all_nodes(config.framework.instances))).shared(own)


def _places(config: Config, count: int) -> Slots:
    hardware = config.hardware
    hosts = of_plan(hardware)
    if len(hosts) < count:  # for a check of what is laid out to say
        return nominal(hardware, count)
    fits = hardware.hosts is not None or len(hosts) == hardware.nodes + config.launch.spare_nodes
    return from_inventory(hardware, hosts, count, pin=fits if hardware.pin is None else hardware.pin)
