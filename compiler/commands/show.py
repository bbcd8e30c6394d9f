"""`show`: what a rank, a group, a host or a slot of a plan is, read from the plan folder."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from compiler.commands import folder, jobs
from compiler.commands.edits import INSTEAD, Edit, of_folder
from compiler.commands.queries import FORMS, answer_all
from compiler.commands.steady import steady
from compiler.commands.text import text
from compiler.entry import Parser, finish
from compiler.errors import ConfigError, shown

EXAMPLE = "example: python -m compiler.show out/NAME rank=777 group=ep/3"


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Answer and exit: 0, 1 where a file of the plan is not as it was compiled, 2 for bad input."""
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Print an answer a query. Raises ConfigError."""
    args = _parse(argv)
    if not args.query:
        raise ConfigError.of("nothing is asked", f"write {FORMS}")
    path = Path(args.plan)
    if all(query.startswith(jobs.WORD) for query in args.query):
        return _jobs(path, args)
    plan, edits = steady(path, lambda: (folder.read(path), of_folder(path)))
    answers = answer_all(plan, args.query)
    _warn(edits)
    code = 1 if edits else 0
    if args.json:
        found = [asdict(answer) for answer in answers]
        edited = [asdict(edit) for edit in edits]
        print(json.dumps({"plan": plan.name, "world_size": plan.size, "edited": edited, "answers": found}, indent=1))
        return code
    print(f"{shown(plan.name)}, {plan.size} ranks" + f" x {plan.instances} instances" * (plan.instances > 1))
    for answer in answers:
        print("", *map(shown, text(answer, whole=args.all)), sep="\n")
    return code


def _jobs(path: Path, args: argparse.Namespace) -> int:
    """Job files alone, also of pools, and nothing else, so that they can be piped on."""
    answers, edits = steady(path, lambda: ([jobs.job(path, query) for query in args.query], of_folder(path)))
    _warn(edits)
    if args.json:
        found = [asdict(answer) for answer in answers]
        print(json.dumps({"edited": [asdict(edit) for edit in edits], "answers": found}, indent=1))
    else:
        print("".join(map(jobs.text, answers)), end="")
    return 1 if edits else 0


def _warn(edits: Iterable[Edit]) -> None:
    for edit in edits:
        print(f"warning: {shown(edit.file)} is not as it was compiled: {shown(edit.what)} ; {INSTEAD}", file=sys.stderr)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m compiler.show",
        description="What a rank, a group, a host or a slot of a plan is: where it sits, what it holds, whom it talks to. "
        "Or the file that starts it.",
        epilog=EXAMPLE,
        allow_abbrev=False,
    )
    parser.add_argument("plan", metavar="PLAN", help="a plan folder")
    parser.add_argument("query", metavar="QUERY", nargs="*", help=FORMS)
    parser.add_argument("--all", action="store_true", help="print long lists of ranks whole")
    parser.add_argument("--json", action="store_true", help="print JSON, with every list whole")
    return parser.parse_intermixed_args(list(argv))
