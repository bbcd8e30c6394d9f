"""A document's claims, held against the compiled plan."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compiler.checks import Check, failed
from compiler.errors import ConfigError
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.specs.expect import Claim
from compiler.words import readable

_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Verdict:
    """A claim held against the plan: `verdict` is holds, fails or not_applicable."""

    id: str
    statement: str
    metric: str
    comparison: str
    claimed: Any
    computed: Any
    verdict: str
    reason: str


def judge(config: Config, plan: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """A verdict for every claim. Raises ConfigError where a claim's metric is not in the plan's dictionary."""
    return tuple(_verdict(config, claim, plan) for claim in config.expect.claims)


def unjudged(config: Config, reason: str) -> tuple[Verdict, ...]:
    """Claims that no single plan can bear out, and why."""
    return tuple(
        Verdict(c.id, c.statement, c.metric, c.comparison, c.claimed, None, "not_applicable", reason)
        for c in config.expect.claims
    )


def _verdict(config: Config, claim: Claim, plan: Mapping[str, Any]) -> Verdict:
    computed = _single(claim, find(plan, claim.metric))
    reason = re.sub(r"\{([\w.]+)\}", lambda path: readable(find(plan, path[1])), claim.reason)
    other = _other_plan(config, claim)
    if other:
        verdict, reason = "not_applicable", other
    else:
        verdict = "holds" if holds(claim, computed) else "fails"
    return Verdict(claim.id, claim.statement, claim.metric, claim.comparison, claim.claimed, computed, verdict, reason)


def _single(claim: Claim, computed: Any) -> Any:
    """The computed value. Raises ConfigError where it or the claimed one is no single value, or texts are ordered."""
    if isinstance(computed, (dict, list)):
        raise ConfigError.of(
            f"expect: {claim.id} is about {claim.metric}, which is a table", "name one value of plan.json"
        )
    if not isinstance(claim.claimed, (int, float, str)):
        raise ConfigError.of(
            f"expect: {claim.id} claims {claim.claimed}, which is no single value", "write a number or a text"
        )
    if claim.comparison != "==" and isinstance(claim.claimed, str):
        raise ConfigError.of(
            f"expect: {claim.id} orders the text {claim.claimed} with {claim.comparison}", "write a number, or =="
        )
    return computed


def _other_plan(config: Config, claim: Claim) -> str:
    """Why the claim is not about this plan; empty where it is."""
    given, name = config.expect, config.degrees.name
    if given.model is not None and given.model != config.model.name:
        return f"it is about the model {given.model}"
    if claim.hardware is not None and claim.hardware != config.hardware.name:
        return f"it is about the cluster {claim.hardware}"
    if claim.degrees is not None and claim.degrees != name:
        return f"it is about the degrees {claim.degrees}"
    if claim.workload is not None and claim.workload != config.workload.kind:
        return f"it is about {claim.workload}"
    return ""


def holds(claim: Claim, computed: Any) -> bool:
    """Whether the computed value bears the claim out, within its relative tolerance."""
    if computed is None or isinstance(computed, str) or isinstance(claim.claimed, str):
        return bool(computed == claim.claimed)
    if claim.comparison == "==":
        return bool(abs(computed - claim.claimed) <= claim.tolerance * abs(claim.claimed))
    slack = claim.tolerance * abs(claim.claimed) * (1 if claim.comparison in ("<=", "<") else -1)
    return _ORDERS[claim.comparison](computed, claim.claimed + slack)


def find(plan: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of the plan's dictionary; a number picks an entry of a list."""
    value: Any = plan
    for part in path.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ConfigError.of(
                f"expect: the plan has no value at {path}", "name a path of plan.json, as in memory.weights_bytes"
            ) from None
    return value


def strict_checks(config: Config, verdicts: tuple[Verdict, ...]) -> Iterator[Check]:
    """A failed claim as a broken invariant, where `expect.strict` asks for it."""
    if config.expect.strict:
        for verdict in verdicts:
            if verdict.verdict == "fails":
                order = "" if verdict.comparison == "==" else f"{verdict.comparison} "
                claimed, computed = readable(verdict.claimed), readable(verdict.computed)
                what = f"{verdict.statement}: claimed {order}{claimed}, computed {computed}"
                yield failed(
                    f"expect-{verdict.id}",
                    observed=verdict.computed,
                    limit=verdict.claimed,
                    message=what,
                    fix="mend the claim, or write expect.strict=false",
                )
