"""The passes, in order: declared values are checked, ranks laid out, costs summed, claims judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from compiler import invariants
from compiler.checks import Check
from compiler.cluster import inventory
from compiler.cluster.share import share
from compiler.cluster.slots import Slots, from_inventory, nominal
from compiler.costs.total import cost, held
from compiler.errors import CompilerError, InvariantError
from compiler.expectations import judge, strict_checks
from compiler.frameworks.adapter import adapter
from compiler.frameworks.stage_rule import stage_layers
from compiler.layout.stages import split
from compiler.plan import Plan
from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.world import World

if TYPE_CHECKING:
    from compiler.costs.calibration import Calibration
    from compiler.costs.uncertainty import Uncertainty


def compile_config(config: Config) -> Plan:
    """Compile one plan. Raises InvariantError with every broken invariant, or with the declared ones alone where no rank can be
    laid out; ConfigError for a bad input file.
    """
    checks = list(invariants.declared(config))
    if any(check.id in invariants.BLOCKING and check.status == "fail" for check in checks):
        _refuse(checks)
    world = lay_out(config)
    checks += invariants.laid_out(world)
    costs = cost(world, *measured(config))
    checks += invariants.costed(world, costs)
    plan = Plan(world, costs, tuple(checks))
    checks += registry.checks(plan)  # a value that no target can carry is refused now, not when files are written
    verdicts = judge(config, plan.to_dict())
    checks += strict_checks(config, verdicts)
    _refuse(checks)
    return Plan(world, costs, tuple(checks), verdicts)


def holds(config: Config, apart_from: frozenset[str] = frozenset()) -> bool:
    """Whether every declared rule holds but some; the first that does not ends it, so that many can be asked of."""
    try:
        return all(check.status != "fail" or check.id in apart_from for check in invariants.declared(config))
    except CompilerError:
        return False


def tried(config: Config) -> tuple[Check, ...]:
    """Its checks, none failed; raises what `compile_config` would, or the first of it, without a projection: a fix is tried so."""
    measured(config)
    checks = list(invariants.declared(config))
    _refuse(checks)
    if config.expect.strict:
        return compile_config(config).checks
    world = lay_out(config)
    costs = held(world)
    checks += [*invariants.laid_out(world), *invariants.costed(world, costs)]
    checks += registry.checks(Plan(world, costs, tuple(checks)))
    _refuse(checks)
    return tuple(checks)


def measured(config: Config) -> tuple[Calibration | None, Uncertainty]:
    """Curves and constants of what the plan runs on, None where its hardware names none; and how sure its figures are."""
    from compiler import calibrated

    found = calibrated.of(config)
    return found, calibrated.uncertainty(config, found)


def _refuse(checks: Iterable[Check]) -> None:
    """Raises InvariantError with what failed, and with units that are probably wrong, since they may be why."""
    checks = tuple(checks)
    if any(check.status == "fail" for check in checks):
        raise InvariantError(check.problem for check in checks if check.status == "fail" or check.id == "unit")


def lay_out(config: Config) -> World:
    """Grids by the framework's rules, then stages, experts and slots. The declared invariants must hold."""
    rules = adapter(config.framework.name)
    attention, expert = rules.grids(config)
    stages = split(stage_layers(config) or (), config.parallel.pp)
    return World(
        config=config,
        degrees=config.degrees,
        attention=attention,
        expert=expert,
        stages=stages,
        experts=rules.experts(config, stages),
        slots=_slots(config),
        kinds=rules.kinds(config, attention, expert),
        padded_vocab_size=rules.padded_vocab_size(config),
        mtp_stage=rules.mtp_stage(config),
        interleaved_group=rules.interleaved_group(config),
        graph_batch=rules.graph_batch(config),
        combine_bytes=rules.combine_bytes(config),
        cached=rules.cached(config),
        copies=rules.copies(config),
    )


def _slots(config: Config) -> Slots:
    """Slots of every instance; enough for the ranks even where a cluster that nobody has checked is too small."""
    own, hardware = share(config), config.hardware
    return _places(config, max(hardware.nodes, own.all_nodes(config.framework.instances))).shared(own)


def _places(config: Config, count: int) -> Slots:
    hardware, within = config.hardware, config.hardware.within
    if hardware.inventory is None:
        return nominal(hardware, count)
    hosts = inventory.read(hardware.inventory)
    if within.nodes:
        hosts = hosts[within.first : within.first + count] + hosts[within.nodes :]
    if len(hosts) < count:  # for a check of what is laid out to say
        return nominal(hardware, count)
    fits = len(hosts) == hardware.nodes + config.launch.spare_nodes
    return from_inventory(hardware, hosts, count, pin=fits if hardware.pin is None else hardware.pin)
