"""`check`: whether compiling a plan again, with this version, would give the bytes that are there."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from compiler import __version__
from compiler.commands import sources
from compiler.commands.edits import CONFIG, Edit, again, compiled, made_by, of_folder
from compiler.commands.steady import steady
from compiler.entry import Parser, finish, say
from compiler.errors import CompilerError, ConfigError, shown
from compiler.frozen import dataclass
from compiler.waiting import waiting

EXAMPLE = "example: python -m compiler.check out/NAME, or with what it was compiled from: parallel=tp8 hardware.inventory=hosts.csv"


@dataclass(frozen=True)
class Checked:
    """`changed` are files that somebody changed since they were written; `inputs` are keys, and files, that are another than
    the plan was compiled from; `other` are files that a compile would write otherwise.
    """

    plan: str
    version: str
    changed: tuple[Edit, ...]
    inputs: tuple[Edit, ...]
    other: tuple[Edit, ...]

    @property
    def same(self) -> bool:
        return not (self.changed or self.inputs or self.other)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Exit 0 where the bytes would be the same, 1 where not, 2 for bad input."""
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Print what differs. Raises ConfigError."""
    args = _parse(argv)
    path = Path(args.plan)
    with waiting("compiling it again"):
        found = steady(path, lambda: _checked(path, args.override, args.config_dir))
    if args.json:
        say(json.dumps({"same": found.same, "this_version": __version__, **asdict(found)}, indent=1))
    else:
        say(*map(shown, _text(found)))
    return 0 if found.same else 1


def _checked(path: Path, overrides: Sequence[str], config_dir: str | None) -> Checked:
    version = made_by(path)
    if version is None or not os.path.isfile(path / CONFIG):  # noqa: PTH113 - Path.is_file raises for a name too long
        raise ConfigError.of(
            f"{path} is no plan folder: it has no manifest.json of ours, or no {CONFIG}",
            "name a folder that `python -m compiler` wrote",
        )
    changed = tuple(of_folder(path))
    inputs = tuple(sources.changed(path, overrides, config_dir)) if overrides or config_dir else ()
    known = {edit.file for edit in changed}
    other = tuple(edit for edit in _again(path) if edit.file not in known)
    return Checked(str(path), version, changed, inputs, other)


def _again(path: Path) -> list[Edit]:
    try:
        return list(again(path, compiled(path)))
    except CompilerError as error:
        return [Edit(CONFIG, f"it does not compile: {problem.what}") for problem in error.problems]


def _text(found: Checked) -> Iterator[str]:
    """The answer on the first line."""
    yield "the same bytes" if found.same else "other bytes"
    if found.version != __version__:
        yield f"  compiled by rankplan {found.version}, this is {__version__}"
    for what, edits in (
        ("changed since", found.changed),
        ("another input", found.inputs),
        ("would differ", found.other),
    ):
        for edit in edits:
            yield f"  {what}: {edit.file}: {edit.what}"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m compiler.check",
        description="Whether compiling a plan's config.yaml again gives the same bytes, with this version; with overrides, "
        "whether what it was compiled from is still the same.",
        epilog=EXAMPLE,
        allow_abbrev=False,
    )
    parser.add_argument("plan", metavar="PLAN", help="a plan folder")
    parser.add_argument(
        "override", metavar="OVERRIDE", nargs="*", help="what the plan was compiled with, to look at its inputs"
    )
    parser.add_argument("--config-dir", "-cd", help="the folder of group files that it was compiled with")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_intermixed_args(list(argv))
