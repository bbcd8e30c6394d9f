"""The passes, in order: declared values are checked, ranks laid out, costs summed, claims judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from compiler import invariants
from compiler.checks import Check, Status
from compiler.claims.judge import judge, strict_checks
from compiler.costs.total import cost, held
from compiler.errors import CompilerError, InvariantError
from compiler.frameworks.lay_out import lay_out
from compiler.plan import Plan
from compiler.schedulers import registry
from compiler.specs.config import Config

if TYPE_CHECKING:
    from compiler.costs.calibration import Calibration
    from compiler.costs.uncertainty import Uncertainty


def compile_config(config: Config) -> Plan:
    """Compile one plan. Raises InvariantError with every broken invariant, or with the declared ones alone where no rank can be
    laid out; ConfigError for a bad input file.
    """
    checks = list(invariants.declared(config))
    if any(check.id in invariants.BLOCKING and check.status is Status.FAIL for check in checks):
        _refuse(checks)
    world = lay_out(config)
    checks += invariants.laid_out(world)
    costs = cost(world, *timed_by(config))
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
        return all(check.status is not Status.FAIL or check.id in apart_from for check in invariants.declared(config))
    except CompilerError:
        return False


def tried(config: Config) -> tuple[Check, ...]:
    """Its checks, none failed; raises what `compile_config` would, or the first of it, without a projection: a fix is tried so."""
    timed_by(config)
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


def timed_by(config: Config) -> tuple[Calibration, Uncertainty]:
    """Curves and constants of what the plan runs on, measured or assumed; and how sure its figures are."""
    from compiler.speed import calibrated

    found = calibrated.of(config)
    return found, calibrated.uncertainty(config, found)


def _refuse(checks: Iterable[Check]) -> None:
    """Raises InvariantError with what failed, and with units that are probably wrong, since they may be why."""
    checks = tuple(checks)
    if any(check.status is Status.FAIL for check in checks):
        raise InvariantError(check.problem for check in checks if check.status is Status.FAIL or check.id == "unit")
