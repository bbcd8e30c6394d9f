"""What a user asks `show` of ranks, as written: `rank=777`, `group=ep/3`, `host=node017`, `slot=12`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from compiler.commands.answers import Answer, SpareAnswer
from compiler.commands.folder import PlanFolder
from compiler.commands.lookup import group_answer, rank_answer, slot_answer
from compiler.errors import ConfigError, Problem
from compiler.failures.losses import unbound
from compiler.nearest import near, numbered, one_of

WORDS = ("rank", "group", "host", "slot")
FORMS = "rank=N, group=KIND/INDEX, host=NAME or slot=N; or job=slurm alone"


def answer_all(plan: PlanFolder, queries: Sequence[str]) -> list[Answer]:
    """An answer a query, in order. Raises ConfigError with every bad query."""
    answers: list[Answer] = []
    wrong: list[Problem] = []
    for query in queries:
        try:
            answers.append(answer(plan, query))
        except ConfigError as error:
            wrong += error.problems
    if wrong:
        raise ConfigError(wrong)
    return answers


def answer(plan: PlanFolder, query: str) -> Answer:
    """Raises ConfigError with what is wrong with the query."""
    word, _, value = query.partition("=")
    if word == "rank" and value:
        return rank_answer(plan, _number(query, value, plan.size, "rank="))
    if word == "slot" and value:
        return slot_answer(plan, _number(query, value, plan.slots.count, "slot="), query)
    if word == "group" and value:
        return _group(plan, query, value)
    if word == "host" and value:
        return _host(plan, value)
    close = "".join(f"did you mean {found}=...? " for found in near(word, WORDS, 1) if word not in WORDS)
    raise ConfigError.of(f"'{query}' is no query", f"{close}{'Else write' if close else 'write'} {FORMS}")


def _number(query: str, value: str, count: int, form: str) -> int:
    """A number of 0 .. count-1."""
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise ConfigError.of(f"{query}: '{value}' is no number", numbered(form, count))
    if not 0 <= int(value) < count:
        raise ConfigError.of(f"{query} is out of range, the plan has {count}", numbered(form, count))
    return int(value)


def _group(plan: PlanFolder, query: str, value: str) -> Answer:
    kind, _, index = value.partition("/")
    if kind not in plan.groups:
        raise ConfigError.of(f"{query}: the plan has no groups of kind '{kind}'", one_of(kind, list(plan.groups)))
    return group_answer(plan, kind, _number(query, index, len(plan.groups[kind]), f"group={kind}/"))


def _host(plan: PlanFolder, host: str) -> Answer:
    hosts, spares = plan.slots.hosts, plan.slots.spares
    if host in spares:
        return SpareAnswer(f"host={host}", host)
    if not hosts:
        raise ConfigError.of(f"host={host}: the plan's slots are not bound to hosts", unbound(plan.slots.count))
    if host not in hosts:
        close = difflib.get_close_matches(host, [*hosts, *spares], 3, 0.4)
        known = " or ".join(f"host={name}" for name in close) or f"a host between {hosts[0]} and {hosts[-1]}"
        raise ConfigError.of(f"host={host} is none of the plan's {len(hosts) + len(spares)} hosts", f"write {known}")
    return slot_answer(plan, hosts.index(host), f"host={host}")
