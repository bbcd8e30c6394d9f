"""The verdict on a change, and the change itself."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from compiler.frozen import dataclass


class Verdict(StrEnum):
    """What a change does to a job of the old plan, the least first.

    A job that does not resume trains nothing, so `breaks-resume` is worse than `trains-differently`, which resumes.
    """

    IDENTICAL = "identical"
    COSMETIC = "cosmetic"
    RESTART = "restart"
    RESHARD = "reshard"
    TRAINS = "trains-differently"
    BREAKS = "breaks-resume"


SERVES = "the servers must start again; they save no state, and requests end"
"""What a restart is to plans that train nothing."""

MEANING = {
    Verdict.IDENTICAL: "every file is the same",
    Verdict.COSMETIC: "nothing that runs differs",
    Verdict.RESTART: "the job must start again; it resumes",
    Verdict.RESHARD: "it resumes where the old run saved in the named format, else not",
    Verdict.TRAINS: "it resumes, and what is computed changes",
    Verdict.BREAKS: "it does not resume from what the old run saved",
}


@dataclass(frozen=True)
class Change:
    """One thing that differs. `verdict` is COSMETIC for what runs nothing by itself; `why` is a sentence, with its source;
    `count` are the ranks, groups, layers or experts that it is about, where it is about some of several.
    """

    topic: str
    what: str
    before: str
    after: str
    verdict: Verdict = Verdict.COSMETIC
    why: str = ""
    count: int | None = None


def change(
    topic: str, what: str, sides: Iterable[str], verdict: Verdict = Verdict.COSMETIC, count: int | None = None
) -> Change:
    """A change of what both sides say of one thing, the old one first."""
    before, after = sides
    return Change(topic, what, before, after, verdict, count=count)


def worst(verdicts: Iterable[Verdict], least: Verdict) -> Verdict:
    """The worst of some verdicts, `least` where there are none."""
    order = list(Verdict)
    return max([least, *verdicts], key=order.index)
