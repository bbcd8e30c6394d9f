"""The passes, in order: declared values are checked, ranks laid out, costs summed, claims judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compiler import invariants
from compiler.checks import Check, Status
from compiler.claims.judge import Verdict, judge, strict_checks
from compiler.costs.total import Costs, cost, held
from compiler.errors import CompilerError, InvariantError
from compiler.frameworks.lay_out import lay_out
from compiler.frozen import dataclass
from compiler.graph_answers import RankGraph
from compiler.invariants import memory
from compiler.plan import Part, Plan
from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.world import World

if TYPE_CHECKING:
    from compiler.costs.calibration import Calibration
    from compiler.costs.uncertainty import Uncertainty
    from compiler.placement.chosen import Chosen


@dataclass(frozen=True)
class Draft:
    """A plan of one part, as far as it is made."""

    config: Config
    world: World | None = None
    placement: Chosen | None = None
    graph: RankGraph | None = None
    part: Part | None = None
    checks: tuple[Check, ...] = ()
    expectations: tuple[Verdict, ...] = ()

    def checked(self, checks: Iterable[Check], **made: Any) -> Draft:
        """With what a pass has made, and what it has against it."""
        return replace(self, checks=(*self.checks, *checks), **made)

    @property
    def blocked(self) -> bool:
        """Whether no rank can be laid out."""
        return any(check.id in invariants.BLOCKING and check.status is Status.FAIL for check in self.checks)

    @property
    def laid(self) -> World:
        if self.world is None:
            raise ValueError("no pass has laid ranks out")
        return self.world

    @property
    def asked(self) -> RankGraph:
        """The graph, which later passes ask."""
        if self.graph is None:
            raise ValueError("no pass has made the rank graph")
        return self.graph

    @property
    def plan(self) -> Plan:
        if self.part is None:
            raise ValueError("no pass has summed costs")
        return Plan.of(self.part, self.checks, self.expectations)


Pass = Callable[[Draft], Draft]


def declared(draft: Draft) -> Draft:
    """What the configuration says, by itself."""
    return draft.checked(invariants.declared(draft.config))


def placed(draft: Draft) -> Draft:
    """The order of axes and the hosts of slots, where they are to be searched; nothing for a configuration that is refused."""
    if draft.config.placement == "default" or any(check.status is Status.FAIL for check in draft.checks):
        return draft
    from compiler.placement.chosen import choose

    found = choose(draft.config, timed_by(draft.config)[0])
    return replace(draft, config=found.config, world=found.world, placement=found)


def laid_out(draft: Draft) -> Draft:
    """Grids, groups, stages, experts, slots."""
    world = draft.world or lay_out(draft.config)
    return draft.checked(invariants.laid_out(world), world=world)


def graphed(draft: Draft) -> Draft:
    """The rank graph: in closed form, which is all that a compile asks; whoever walks it has networkx expand it."""
    return replace(draft, graph=RankGraph.of(draft.laid))


def projected(draft: Draft) -> Draft:
    """Memory and time."""
    return _costed(draft, cost(draft.laid, *timed_by(draft.config)))


def held_alone(draft: Draft) -> Draft:
    """Memory without time."""
    return _costed(draft, held(draft.laid))


def _costed(draft: Draft, costs: Costs) -> Draft:
    return draft.checked(invariants.costed(draft.laid, costs), part=Part(draft.asked, costs, draft.placement))


def launched(draft: Draft) -> Draft:
    """What the targets have against it: a value that none can carry is refused now, not when files are written."""
    return draft.checked(registry.checks(draft.plan))


def judged(draft: Draft) -> Draft:
    """Claims."""
    verdicts = judge(draft.config, draft.plan.contents)
    return draft.checked(strict_checks(draft.config, verdicts), expectations=verdicts)


def sure(draft: Draft) -> Draft:
    """More memory than there is fails."""
    return replace(
        draft,
        checks=tuple(replace(check, status=Status.FAIL) if memory.exceeded(check) else check for check in draft.checks),
    )


COMPILED: tuple[Pass, ...] = (declared, placed, laid_out, graphed, projected, launched, judged)
TRIED: tuple[Pass, ...] = (declared, laid_out, graphed, held_alone, launched, sure)


def compile_config(config: Config, observe: Callable[[str, Draft], None] = lambda _name, _draft: None) -> Plan:
    """Compile one plan. `observe` is called after each pass with its name and what there is by then: timing, progress, dumps.

    Raises InvariantError with every broken invariant, or with the declared ones alone where no rank can be laid out;
    ConfigError for a bad input file.
    """
    return _run(COMPILED, Draft(config), observe).plan


def _run(
    passes: Sequence[Pass], draft: Draft, observe: Callable[[str, Draft], None] = lambda _name, _draft: None
) -> Draft:
    """The one gate: raises InvariantError with all that failed once nothing can follow, or everything has."""
    for one in passes:
        draft = one(draft)
        observe(one.__name__, draft)
        if draft.blocked:
            break
    _refuse(draft.checks)
    return draft


def holds(config: Config, apart_from: frozenset[str] = frozenset()) -> bool:
    """Whether every declared rule holds but some; the first that does not ends it, so that many can be asked of."""
    try:
        return all(check.status is not Status.FAIL or check.id in apart_from for check in invariants.declared(config))
    except CompilerError:
        return False


def tried(config: Config) -> tuple[Check, ...]:
    """Its checks, none failed; raises what `compile_config` would, or the first of it, without a projection: a fix is tried so.

    More memory than there is fails here whatever runs have come to: a fix is to be sure.
    """
    timed_by(config)
    draft = _run([declared], Draft(config))
    return _run(COMPILED[1:] if config.expect.strict else TRIED[1:], draft).checks


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
