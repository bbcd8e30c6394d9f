"""`diff`: two plan folders, or a plan folder and overrides."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from compiler.commands.edits import INSTEAD
from compiler.commands.steady import steady
from compiler.diff import side
from compiler.diff.compared import Compared, compare
from compiler.diff.side import Side
from compiler.diff.text import markdown, text
from compiler.diff.verdict import Verdict
from compiler.entry import Parser, finish, say
from compiler.errors import ConfigError, shown
from compiler.waiting import waiting

EXAMPLE = (
    "example: python -m compiler.diff out/OLD out/NEW, or python -m compiler.diff out/OLD workload.micro_batch_size=2"
)
VERDICTS = [str(verdict) for verdict in Verdict]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Exit 0 where nothing that runs differs, 1 where something does, 2 for bad input."""
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Print the verdict, and what differs. Raises ConfigError."""
    args = _parse(argv)
    old = _read(args.old)
    if len(args.new) == 1 and ("=" not in args.new[0] or os.path.lexists(args.new[0])):
        found = compare(old, _read(args.new[0]))
    else:
        found = _with_overrides(old, args.new)
    _warn(found)
    if args.json:
        say(json.dumps(contents(found), indent=1))
    elif args.html:
        say(_html(found).rstrip("\n"))
    else:
        say(*map(shown, (markdown if args.markdown else text)(found, whole=args.all)))
    return 0 if VERDICTS.index(found.verdict) <= VERDICTS.index(args.allow) else 1


def contents(found: Compared) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "verdict": str(found.verdict),
        "meaning": found.meaning,
        "old": found.old.label,
        "new": found.new.label,
        "reasons": [asdict(change) for change in found.reasons],
        "changes": [asdict(change) for change in found.changes],
        "edited": {which.label: [asdict(edit) for edit in which.edits] for which in (found.old, found.new)},
    }


def _html(found: Compared) -> str:
    from compiler.diff import page
    from compiler.report import html

    return html.page(
        f"{found.old.label} \N{RIGHTWARDS ARROW} {found.new.label}", page.answers(found), page.sections(found)
    )


def _read(path: str) -> Side:
    return steady(Path(path), lambda: side.read(Path(path), path))


def _warn(found: Compared) -> None:
    """Of files that are compared as somebody left them; of a folder and itself once."""
    for which in {which.label: which for which in (found.old, found.new)}.values():
        for edit in which.edits:
            what = f"{which.label}: {edit.file} is not as it was compiled: {edit.what}"
            print(f"warning: {shown(what)} ; {INSTEAD}", file=sys.stderr)


def _with_overrides(old: Side, overrides: Sequence[str]) -> Compared:
    """The old plan and what its configuration compiles to with overrides. Raises ConfigError for what does not compile."""
    from compiler.config.again import compiled

    if any(item.lstrip("+") == "parallel=auto" for item in overrides):
        raise ConfigError.of(
            "parallel=auto is a search, and diff compares two plans",
            "compile it, and name the folder of the best plan that it prints",
        )
    with TemporaryDirectory(prefix="rankplan-") as place, waiting("compiling the other plan"):
        plan = compiled(old.path, overrides)
        return compare(old, side.read(plan.write(place, "new"), f"with {' '.join(overrides)}"))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m compiler.diff",
        description="What a new plan means for a job of the old one: identical, cosmetic, restart, reshard, "
        "breaks-resume or trains-differently, and what differs.",
        epilog=EXAMPLE,
        allow_abbrev=False,
    )
    parser.add_argument("old", metavar="OLD", help="a plan folder")
    parser.add_argument(
        "new", metavar="NEW", nargs="+", help="a plan folder, or overrides of the old plan's configuration"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, with every change")
    form.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request")
    form.add_argument("--html", action="store_true", help="print a page, to be sent to a file")
    parser.add_argument("--all", action="store_true", help="print long lists whole")
    parser.add_argument(
        "--allow",
        metavar="VERDICT",
        choices=VERDICTS,
        default="cosmetic",
        help="the worst verdict that exits 0 (cosmetic)",
    )
    return parser.parse_intermixed_args(list(argv))
