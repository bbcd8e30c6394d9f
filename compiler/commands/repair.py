"""`repair`: a plan on what is left, in a folder of its own, and what its moved ranks must load and from whom."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from compiler.commands import edits
from compiler.commands.lost import HELP, losses
from compiler.commands.steady import steady
from compiler.entry import Parser, finish
from compiler.errors import ConfigError, shown
from compiler.failures import moves
from compiler.failures.repair import NEAR
from compiler.plan import Plan
from compiler.pooled import PooledPlan
from compiler.repairs.merged import merged
from compiler.repairs.standing import Repaired, Standing, Unrepairable
from compiler.specs.config import Config
from compiler.words import gigabytes

SHOWN = 8
"""Slots, and kinds of loads, that are printed one by one."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Write and exit: 0, 1 where no plan is left, 2 for bad input, 3 where what is left breaks a rule, 4 where writing failed."""
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Write the repaired plan, and print what moves. Raises CompilerError."""
    args = _parse(argv)
    path = Path(args.plan)
    plan, changed = steady(path, lambda: (_compiled(path), edits.of_folder(path)))
    for edit in changed:
        print(
            f"warning: {shown(edit.file)} is not as it was compiled: {shown(edit.what)} ; {edits.INSTEAD}",
            file=sys.stderr,
        )
    given = [item for items in args.lost for item in items]
    if not given:
        raise ConfigError.of("nothing is lost", f"write --lost {HELP}")
    plans = dict(plan.pools) if isinstance(plan, PooledPlan) else {"": plan}
    standing = {role: Standing(part) for role, part in plans.items()}
    found = losses({role: part.cluster for role, part in standing.items()}, given)
    answers = {role: part.without(found[role]) for role, part in standing.items()}
    for role, answer in answers.items():
        if isinstance(answer, Unrepairable):
            print(f"error: {f'{role}: ' * bool(role)}{shown(answer.what)} ; {shown(answer.instead)}", file=sys.stderr)
            return 1
    done = {role: answer for role, answer in answers.items() if isinstance(answer, Repaired)}
    target = Path(args.out) if args.out else _beside(path)
    _written(merged(plan, done), target)
    rows = {role: _Row(role, plans[role], answer, target) for role, answer in done.items()}
    if args.json:
        print(
            json.dumps(
                {"folder": str(target), "parts": {role: row.to_dict() for role, row in rows.items()}}
                if "" not in rows
                else {"folder": str(target), **rows[""].to_dict()},
                indent=1,
            )
        )
    else:
        for row in rows.values():
            print(*map(shown, row.lines()), sep="\n")
        print(f"written: {shown(str(target))}")
    return 0


def _compiled(path: Path) -> Plan | PooledPlan:
    """What the folder's configuration compiles to. Raises ConfigError for no plan folder."""
    if not (path / edits.CONFIG).is_file():
        raise ConfigError.of(
            f"{path} is no plan folder: it has no {edits.CONFIG}", "name a folder that `python -m compiler` wrote"
        )
    return edits.compiled(path)


def _beside(path: Path) -> Path:
    """NAME_repaired, NAME_repaired2 and so on: a number more than the plan that it is made of."""
    whole = path.absolute()
    match = re.fullmatch(r"(.*)_repaired([0-9]{0,9})", whole.name)
    if match is None:
        return whole.with_name(f"{whole.name}_repaired")
    return whole.with_name(f"{match[1]}_repaired{int(match[2] or 1) + 1}")


def _written(config: Config, target: Path) -> None:
    """Compile what a user would compile: the text of the new configuration. Raises CompilerError."""
    from compiler.render.config_yaml import dump

    with TemporaryDirectory() as scratch:
        (Path(scratch) / edits.CONFIG).write_text(dump(config), encoding="utf-8")
        made = edits.compiled(Path(scratch))
    made.write(target.absolute().parent, target.absolute().name)


@dataclass(frozen=True)
class _Row:
    """One plan's repair, as it is printed."""

    role: str
    plan: Plan
    repair: Repaired
    folder: Path

    def to_dict(self) -> dict[str, Any]:
        found = self.repair
        return {
            "plan": self.plan.name,
            "copies": found.standing.copies.word,
            "kept": found.seats.kept.tolist(),
            "of": found.standing.copies.count,
            "hosts": list(found.hosts) if self.plan.world.slots.pinned else [],
            "spares": list(found.spares) if self.plan.world.slots.pinned else len(found.seats.left),
            "moves": [self._move(move) for move in found.moves],
            "notes": list(found.notes),
        }

    def _move(self, move: moves.Move) -> dict[str, Any]:
        names = self.repair.standing.places.names
        near = self.repair.standing.places.distance(move.machine_before, self._one(move.machine))[0]
        weights = (
            "checkpoint"
            if move.source == moves.CHECKPOINT
            else {"rank": move.source, "host": names[move.source_machine]}
        )
        return {
            "rank": move.rank,
            "was": move.was,
            "from": names[move.machine_before],
            "to": names[move.machine],
            "near": NEAR[int(near)],
            "weights_bytes": move.weights_bytes,
            "weights_from": weights,
            "optimizer_bytes": move.optimizer_bytes,
            "optimizer_from": "checkpoint" if move.optimizer_source == moves.CHECKPOINT else weights,
        }

    def _one(self, machine: int) -> Any:
        import numpy as np

        return np.array([machine], dtype=np.int64)

    def lines(self) -> Iterator[str]:
        found = self.repair
        start = f"{self.role}: " * bool(self.role)
        yield f"{start}{self.plan.name}: {len(found.seats.kept)} of {found.standing.copies.count} {found.standing.copies.word}s go on, {len(found.moves)} ranks move"
        for note in found.notes:
            yield f"  {note}"
        yield from self._places()
        yield from self._loads()
        left = (
            found.spares
            if self.plan.world.slots.pinned
            else (f"{len(found.seats.left)} nodes",) * bool(len(found.seats.left))
        )
        yield (
            f"  spares left: {', '.join(left[:SHOWN])}{', ...' * (len(left) > SHOWN)}"
            if left
            else "  spares left: none"
        )

    def _places(self) -> Iterator[str]:
        """Where machines were changed."""
        changed: dict[tuple[int, int], int] = {}
        for move in self.repair.moves:
            key = (move.machine_before, move.machine)
            changed[key] = changed.get(key, 0) + 1
        names, places = self.repair.standing.places.names, self.repair.standing.places
        for (before, machine), count in list(changed.items())[:SHOWN]:
            near = NEAR[int(places.distance(before, self._one(machine))[0])]
            where = (
                f"from {names[before]} to other GPUs of it"
                if before == machine
                else f"from {names[before]} to {names[machine]} (same {near})"
            )
            yield f"  {count} ranks {where}"
        if len(changed) > SHOWN:
            yield f"  and {len(changed) - SHOWN} more; --json has all"

    def _loads(self) -> Iterator[str]:
        """Bytes, and whom they come from."""
        found = self.repair.moves
        if not found:
            return
        peers, checkpoint = moves.total(found)
        first = found[0]
        donor = (
            "the checkpoint"
            if first.source == moves.CHECKPOINT
            else f"old rank {first.source} on {self.repair.standing.places.names[first.source_machine]}"
        )
        states = f", {gigabytes(first.optimizer_bytes)} of optimizer states from {'the checkpoint' if first.optimizer_source == moves.CHECKPOINT else donor}"
        yield f"  rank {first.rank} loads {gigabytes(first.weights_bytes)} of weights from {donor}{states * (first.optimizer_bytes > 0)}"
        yield f"  all together {gigabytes(peers)} from ranks that hold the same, {gigabytes(checkpoint)} from the checkpoint"


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


__all__ = ["main", "run"]
