"""Redundant copies of experts that a server is asked for: a whole number, and no more than help."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule
from compiler.errors import short
from compiler.specs.config import Config
from compiler.words import whole


def counted(value: object) -> int | None:
    """The whole number that an option's value is, a text of digits too, as servers read them; None where it is none."""
    if isinstance(value, str):
        return whole(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


@rule
def rules(config: Config, source: str, option: str, value: object, fix: str, *, first: int = 0) -> Iterator[Check]:
    """`value` of `option` is `first` and the copies: none, or up to one of each expert for each ep rank, beyond which every rank
    holds all experts twice. Nothing where the model has no experts.
    """
    experts, ep = config.model.num_experts, config.degrees.ep
    if not config.model.moe:
        return
    found, most = counted(value), first + experts * ep
    yield check(
        f"{config.framework.name}-expert-copies",
        holds=found is not None and first <= found <= most,
        observed=short(value),
        limit=f"{first} to {most}",
        message=f"{source}: {option}={short(value)} is no whole number from {first} to {most}, and {config.model.name} has {experts} experts "
        f"over ep={ep}",
        fix=fix,
    )
