"""Options that a framework's parser knows, by release: `<name>/parser/<release>.txt`, an option a line, as its own source has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from compiler.checks import Check, Status, check
from compiler.frameworks.emission import flags
from compiler.frameworks.versions import version
from compiler.nearest import near
from compiler.specs.config import Config


@dataclass(frozen=True)
class Parser:
    """`abbreviates`: the beginning of an option stands for the whole, as in argparse. Options whose section (what stands before
    a dot) is none of the parser's are of a part of it that a model brings along.
    """

    release: str
    options: frozenset[str]
    abbreviates: bool = False

    def knows(self, option: str) -> bool:
        if option in self.options or option.replace("--no-", "--", 1) in self.options:
            return True
        section, dot, _ = option.partition(".")
        if dot and not any(known.startswith(section + dot) for known in self.options):
            return True
        return self.abbreviates and any(known.startswith(option) for known in self.options)


def unknown(config: Config, written: Iterable[str], *, abbreviates: bool = False) -> Iterator[Check]:
    """One check for each option that the parser does not know: an error where the release's own parser is at hand and reads
    the arguments, a warning where another one's is, or a program of the user's may have more. One check where it knows all.
    """
    options = sorted(set(written))
    if not options:
        return
    release = version(config).number
    parser = _parser(config.framework.name, release, abbreviates)
    whose = f"{config.framework.name} {parser.release}"
    sure = parser.release == release and not config.launch.command
    for option in [option for option in options if not parser.knows(option)] or [""]:
        alike = near(option, sorted(parser.options), 1) if option else []
        yield check(
            "framework-arguments",
            holds=not option,
            observed=option or f"{len(options)} options",
            limit=f"options of {whose}",
            message=f"framework.args sets {option}, which {whose} does not know"
            if option
            else f"{whose} knows all options",
            fix=f"{alike[0]} may be meant: write it in its place, or leave {option} out"
            if alike
            else f"leave {option} out",
            otherwise=Status.FAIL if sure else Status.WARN,
        )


def written(config: Config) -> list[str]:
    """The options of `framework.args` as they are written."""
    return sorted(flags(config.framework.args))


@cache
def _parser(name: str, release: str, abbreviates: bool) -> Parser:
    """That of the release, else of the newest one that is known."""
    folder = Path(__file__).with_name(name) / "parser"
    known = sorted(
        (file.stem for file in folder.glob("*.txt")), key=lambda text: [int(part) for part in text.split(".")]
    )
    chosen = release if release in known else known[-1]
    return Parser(chosen, frozenset((folder / f"{chosen}.txt").read_text(encoding="utf-8").split()), abbreviates)
