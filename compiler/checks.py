"""The one result type of every rule: an invariant, a framework's limit, a controller's, an expectation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from enum import StrEnum
from functools import partial, wraps
from typing import Any, ParamSpec

from compiler.errors import Problem
from compiler.frozen import dataclass

P = ParamSpec("P")


class Status(StrEnum):
    """What a check came to; a plan with one that fails is refused."""

    PASS = "pass"  # noqa: S105 (no password)
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Check:
    """`message` says what holds or not, `fix` what to write instead. `id` is the rule's own where the rule is registered with one."""

    id: str
    status: Status
    observed: str
    limit: str
    message: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @property
    def problem(self) -> Problem:
        return Problem(f"{self.id}: {self.message}", self.fix)


def check(
    name: str = "",
    *,
    holds: bool,
    observed: object,
    limit: object,
    message: str,
    fix: str,
    otherwise: Status = Status.FAIL,
) -> Check:
    """A check that passes where `holds`, and has the status `otherwise` where not."""
    status = Status.PASS if holds else otherwise
    return Check(
        id=name, status=status, observed=str(observed), limit=str(limit), message=message, fix="" if holds else fix
    )


def passed(name: str = "", *, observed: object, limit: object, message: str) -> Check:
    """For what cannot fail, and is worth saying."""
    return check(name, holds=True, observed=observed, limit=limit, message=message, fix="")


def warned(name: str = "", *, observed: object, limit: object, message: str, fix: str) -> Check:
    """For what is known to be amiss."""
    return check(name, holds=False, observed=observed, limit=limit, message=message, fix=fix, otherwise=Status.WARN)


def failed(name: str = "", *, observed: object, limit: object, message: str, fix: str) -> Check:
    """For what is known to be broken."""
    return check(name, holds=False, observed=observed, limit=limit, message=message, fix=fix)


@dataclass(frozen=True, eq=False)
class Later:
    """A rule with what it is asked of."""

    own: Callable[..., Iterator[Check]]
    args: tuple[Any, ...]

    def __call__(self) -> Iterator[Check]:
        return self.own(*self.args)

    @property
    def key(self) -> tuple[Any, ...]:
        """The same for the same rule of the same things: texts and numbers by what they are, others by which they are."""
        return (self.own, *(arg if isinstance(arg, (str, int, float)) else id(arg) for arg in self.args))


_apart: ContextVar[list[Later] | None] = ContextVar("apart", default=None)


def rule(own: Callable[P, Iterator[Check]]) -> Callable[P, Iterator[Check]]:
    """A rule among those that another one yields from, which may be asked by itself: plans that differ in what only others read have
    one answer of it.
    """

    @wraps(own)
    def asked(*args: P.args, **kwargs: P.kwargs) -> Iterator[Check]:
        later = _apart.get()
        if later is None:
            return own(*args, **kwargs)
        given = tuple(tuple(arg) if isinstance(arg, Iterator) else arg for arg in args)  # it may be asked again
        later.append(Later(partial(own, **kwargs) if kwargs else own, given))
        return iter(())

    return asked


@contextmanager
def apart() -> Iterator[list[Later]]:
    """Within it, rules are put aside instead of asked."""
    later: list[Later] = []
    token = _apart.set(later)
    try:
        yield later
    finally:
        _apart.reset(token)
