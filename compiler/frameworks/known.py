"""Options that a framework's parser knows, and what each takes: `<name>/parser/<release>.txt`, an option a line, as its own source
has them (`python -m tests.parsers` writes them; `kinds.py` says how).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from compiler import plugins
from compiler.checks import Check, Status, check, rule
from compiler.errors import short
from compiler.frameworks import json_text
from compiler.frameworks.kinds import Kind, kind
from compiler.frameworks.told import Said, inside, words
from compiler.frameworks.versions import version
from compiler.frozen import dataclass
from compiler.nearest import near
from compiler.specs.config import Config

ANY = ".*"
"""Behind a section: its options are of a part that a model or a configuration brings along."""


@dataclass(frozen=True)
class Parser:
    """`abbreviates`: the beginning of an option stands for the whole, as in argparse."""

    release: str
    options: Mapping[str, str]
    abbreviates: bool = False

    def knows(self, option: str) -> bool:
        if option in self.options or option.replace("--no-", "--", 1) in self.options:
            return True
        parts = option.split(".")
        above = [".".join(parts[:count]) for count in range(1, len(parts))]
        if any(f"{name}{ANY}" in self.options or self._open(name) for name in above):
            return True
        return self.abbreviates and any(known.startswith(option) for known in self.options)

    def _open(self, option: str) -> bool:
        """Whether an option may hold a mapping of which no key is known here."""
        holds = option in self.options and kind(self.options[option]).type in ("", "json")
        return holds and not any(known.startswith(f"{option}.") for known in self.options)

    def kind(self, option: str) -> Kind:
        """What it takes; a beginning of several options takes anything."""
        whole = [known for known in self.options if known.startswith(option)] if self.abbreviates else []
        name = whole[0] if option not in self.options and len(whole) == 1 else option
        return kind(self.options.get(name, ""))


@rule
def rules(config: Config, said: Iterable[Said], *, abbreviates: bool = False, own: bool = True) -> Iterator[Check]:
    """One check for each option that the parser does not know or whose value it does not take: an error where the release's own
    parser is at hand and reads the arguments, a warning where another one's is, or a program or configuration of the user's
    (not `own`) may have more. One check where it takes all.
    """
    items = list({item.words: item for item in said}.values())
    if not items:
        return
    release = version(config).number
    parser = table(config.framework.name, release, abbreviates=abbreviates)
    sure = parser.release == release and own
    whose, found = f"{config.framework.name} {parser.release}", list(_wrong(parser, items))
    for option, message, fix in found or [(f"{len(items)} options", "", "")]:
        yield check(
            "framework-arguments",
            holds=not message,
            observed=option,
            limit=f"options of {whose}",
            message=message.format(whose) if message else f"{whose} knows all options",
            fix=fix,
            otherwise=Status.FAIL if sure else Status.WARN,
        )


def _wrong(parser: Parser, items: Iterable[Said]) -> Iterator[tuple[str, str, str]]:
    """Option, message with a place for whose parser it is, and fix, by option."""
    for item in sorted(_with_keys(parser, items), key=lambda item: item.name):
        option, leave = item.name, f"leave {item.name} out"
        if not parser.knows(option):
            alike = near(option, sorted(parser.options), 1)
            fix = f"{alike[0]} may be meant: write it in its place, or {leave}" if alike else leave
            yield option, f"framework.args sets {_plain(option)}, which {{}} does not know", fix
            continue
        takes = parser.kind(option)
        wanted = takes.wrong(item.values, joined="=" in item.words[0])
        if wanted is not None:
            value = short(" ".join(item.values if takes.many else item.values[:1])) or "nothing"
            better = takes.instead(item.values[0] if item.values else "")
            joint = " " if option.startswith("-") and "." not in option else "="
            other = "give it one of these" if takes.choices else f"give {option} {wanted}"
            fix = f"write {option}{joint}{better}, or {leave}" if better else f"{other}, or {leave}"
            fix = f"write {option} and no value, or {leave}" if takes.type == "switch" else fix
            yield option, f"framework.args gives {_plain(option)} {_plain(value)}, and {{}} takes {_plain(wanted)}", fix


def _with_keys(parser: Parser, items: Iterable[Said]) -> Iterator[Said]:
    """The options, and the keys of mappings in JSON that stand behind them."""
    for item in items:
        yield item
        takes = parser.kind(item.name)
        content = (
            json_text.mapping(item.values[0], letters=takes.letters) if takes.type == "json" and item.values else {}
        )
        yield from inside(item.name, content) if content else ()


def _plain(text: str) -> str:
    """A text whose braces are none of a template."""
    return text.replace("{", "{{").replace("}", "}}")


def written(config: Config) -> list[Said]:
    """The options of `framework.args` as they are written."""
    return [item for item in words(config.framework.args) if item.name.startswith("-")]


def table(name: str, release: str, *, abbreviates: bool = False) -> Parser:
    """The parser of the release, else of the newest one that is known."""
    return _table(name, release, abbreviates)


@cache
def _table(name: str, release: str, abbreviates: bool) -> Parser:
    folder = plugins.folder(name) / "parser"
    known = sorted(
        (file.stem for file in folder.glob("*.txt")), key=lambda text: [int(part) for part in text.split(".")]
    )
    chosen = release if release in known else known[-1]
    lines = (folder / f"{chosen}.txt").read_text(encoding="utf-8").splitlines()
    return Parser(chosen, {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}, abbreviates)
