"""The one result type of every rule: an invariant, a framework's limit, a controller's, an expectation."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from compiler.errors import Problem


@dataclass(frozen=True)
class Check:
    """`status` is pass, warn or fail; `message` says what holds or not, `fix` what to write instead."""

    id: str
    status: str
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
    name: str, holds: bool, observed: object, limit: object, message: str, fix: str, *, otherwise: str = "fail"
) -> Check:
    """A check that passes where `holds`, and has the status `otherwise` where not."""
    return Check(name, "pass" if holds else otherwise, str(observed), str(limit), message, "" if holds else fix)
