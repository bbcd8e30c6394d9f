"""`repair`: a plan on what is left, in a folder of its own, and what its moved ranks must load and from whom."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from compiler.commands import edits
from compiler.commands.lost import HELP, losses
from compiler.commands.repair_text import Told
from compiler.commands.steady import steady
from compiler.entry import Parser, finish
from compiler.errors import ConfigError, Problem, WriteError, shown
from compiler.plan import Plan
from compiler.repairs.merged import merged
from compiler.repairs.standing import Repaired, Standing, Unrepairable
from compiler.specs.config import Config
from compiler.waiting import waiting


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Write and exit: 0, 1 where no plan is left, 2 for bad input, 3 where what is left breaks a rule, 4 where writing failed."""
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Write the repaired plan, and print what moves. Raises CompilerError."""
    args = _parse(argv)
    path, given = Path(args.plan), [item for items in args.lost for item in items]
    with waiting("compiling it again"):
        plan, changed = steady(path, lambda: (_compiled(path), edits.of_folder(path)))
    for edit in changed:
        what = f"{shown(edit.file)} is not as it was compiled: {shown(edit.what)}"
        print(f"warning: {what} ; {edits.INSTEAD}", file=sys.stderr)
    if not given:
        raise ConfigError.of("nothing is lost", f"write --lost {HELP}")
    plans = _parts(plan)
    standing = {role: Standing(part) for role, part in plans.items()}
    found = losses({role: part.graph.cluster for role, part in standing.items()}, given)
    answers = {role: part.without(found[role]) for role, part in standing.items()}
    none = {role: answer for role, answer in answers.items() if isinstance(answer, Unrepairable)}
    for role, answer in none.items():
        print(f"error: {f'{role}: ' * bool(role)}{shown(answer.what)} ; {shown(answer.instead)}", file=sys.stderr)
    if none:
        return 1
    done = {role: answer for role, answer in answers.items() if isinstance(answer, Repaired)}
    target = Path(args.out) if args.out else _beside(path)
    made = _parts(_written(merged(plan, done), target))
    _say([Told(role, plans[role], answer, made[role]) for role, answer in done.items()], target, as_json=args.json)
    return 0


def _say(told: Sequence[Told], target: Path, *, as_json: bool) -> None:
    if as_json:
        parts = {each.role: each.to_dict() for each in told}
        print(json.dumps({"folder": str(target), **parts.get("", {"parts": parts})}, indent=1))
        return
    for each in told:
        print(*map(shown, each.lines()), sep="\n")
    print(f"written: {shown(str(target))}")


def _parts(plan: Plan) -> dict[str, Plan]:
    """The plan by an empty name, or that of each pool by its role."""
    return dict(plan.parts)


def _compiled(path: Path) -> Plan:
    """What the folder's configuration compiles to. Raises ConfigError for no plan folder."""
    if not os.path.isfile(path / edits.CONFIG):  # noqa: PTH113 - Path.is_file raises for a name too long
        raise ConfigError.of(
            f"{path} is no plan folder: it has no {edits.CONFIG}", "name a folder that `python -m compiler` wrote"
        )
    return edits.compiled(path)


def _beside(path: Path) -> Path:
    """NAME_repaired, NAME_repaired2 and so on: a number more than the plan that it is made of."""
    whole = path if path.name not in ("", "..") else path.resolve()
    match = re.fullmatch(r"(.*)_repaired([0-9]{0,9})", whole.name)
    if match is None:
        return whole.with_name(f"{whole.name}_repaired")
    return whole.with_name(f"{match[1]}_repaired{int(match[2] or 1) + 1}")


def _written(config: Config, target: Path) -> Plan:
    """Compile what a user would compile: the text of the new configuration. Raises CompilerError."""
    from compiler.render.config_yaml import dump

    with TemporaryDirectory() as scratch:
        (Path(scratch) / edits.CONFIG).write_text(dump(config), encoding="utf-8")
        made = edits.compiled(Path(scratch))
    try:
        made.write(target.absolute().parent, target.absolute().name)
    except WriteError as error:  # it speaks of the keys of a compile
        raise WriteError(Problem(problem.what, "write another --out FOLDER") for problem in error.problems) from error
    return made


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m compiler.repair",
        description="A plan on what is left: on spares near what is lost, else with fewer replicas and the same global batch.",
        epilog="example: python -m compiler.repair out/NAME --lost host=node017 --out out/NAME_again",
        allow_abbrev=False,
    )
    parser.add_argument("plan", metavar="PLAN", help="a plan folder")
    parser.add_argument("--lost", metavar="X", nargs="+", action="append", default=[], help=HELP)
    parser.add_argument("--out", metavar="FOLDER", help="the new plan folder (default: PLAN_repaired)")
    parser.add_argument("--json", action="store_true", help="print JSON, with every rank that moves")
    return parser.parse_args(list(argv))
