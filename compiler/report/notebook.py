"""What Python and a notebook show of a plan."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.errors import ConfigError
from compiler.frozen import dataclass
from compiler.nearest import one_of
from compiler.plan import Plan
from compiler.report import sections
from compiler.report.figures import Figure
from compiler.report.verdict import answers

LATER = ("look at", "claims")
"""Answers that are no part of a line."""


@dataclass(frozen=True)
class Svg:
    """A figure; a notebook shows it, and `text` is a file that stands alone."""

    name: str
    text: str

    def _repr_svg_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Svg({self.name}, {len(self.text):,} characters)"


def short(plan: Plan) -> str:
    """A line."""
    told = [
        f"{answer.question}: {answer.text}" for answer in answers(plan, plan.contents) if answer.question not in LATER
    ]
    return f"<Plan {plan.name}: {'; '.join(told)}>"


def first(plan: Plan) -> str:
    """The name and the answers, as HTML."""
    from compiler.report.html import first_screen

    return first_screen(plan.name, answers(plan, plan.contents))


def figure(plan: Plan, name: str) -> Svg:
    """Raises ConfigError for a name that the plan has no figure of."""
    from compiler.report.html import alone

    found = {item.name: item for item in _figures(plan)}
    if name not in found:
        raise ConfigError.of(f"the plan {plan.name} has no figure '{name}'", one_of(name, list(found)))
    return Svg(name, alone(found[name]))


def _figures(plan: Plan) -> Iterator[Figure]:
    for section in sections.of(plan, plan.contents):
        yield from (block for block in section.blocks if isinstance(block, Figure))
