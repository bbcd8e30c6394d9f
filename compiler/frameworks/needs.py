"""What a framework's own program wants of its user beside what a plan says: data, a tokenizer, the end of a run, checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from compiler.checks import Check, Status, check
from compiler.frozen import dataclass
from compiler.specs.config import Config


@dataclass(frozen=True)
class Need:
    """`options` each give it, `written` is how it is given, and `without` what happens where it is not."""

    what: str
    options: tuple[str, ...]
    written: str
    without: str


def words(config: Config, *programs: str) -> list[str] | None:
    """What a user says to a framework's program, in `launch.command` and `framework.args`; None where the command starts none of
    `programs`, by path or by module: another one may bring what it needs.
    """
    command = config.launch.command
    if command is None:
        return list(config.framework.args)
    said = [part for word in command for part in word.split()]
    runs = any(word == name or word.endswith(f"/{name}") for word in said for name in programs)
    return [*said, *config.framework.args] if runs else None


def missing(needs: Iterable[Need], given: Collection[str]) -> Iterator[Need]:
    """Those that no option gives."""
    return (need for need in needs if not any(option in given for option in need.options))


def unmet(whose: str, needs: Sequence[Need]) -> Check:
    """One warning for all that is missing."""
    return check(
        "launch-inputs",
        holds=False,
        observed=", ".join(need.what for need in needs),
        limit="none missing",
        message=f"{whose} is not told all that it needs: {'; '.join(_said(needs))}",
        fix=f"add {'them' if len(needs) > 1 else 'it'} to framework.args",
        otherwise=Status.WARN,
    )


def _said(needs: Sequence[Need]) -> Iterator[str]:
    """What is missing, by what happens without it."""
    for result in dict.fromkeys(need.without for need in needs):
        named = (f"{need.what} ({need.written})" for need in needs if need.without == result)
        yield f"without {', '.join(named)} {result}"
