"""Hold a plan folder against its manifest, its configuration and its framework, in one process and without a GPU."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from compiler import plugins
from compiler.commands import folder
from compiler.commands.edits import again, compiled, is_ours, of_folder
from compiler.commands.steady import steady
from compiler.entry import Parser, finish, say
from compiler.errors import ConfigError, InvariantError, shown
from compiler.frameworks.proof import RELEASE, Finding, compared, groups
from compiler.plan import Plan
from compiler.world import World


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Exit 0 where everything is equal, 1 where something differs, 2 for a bad plan or a missing framework."""
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Print one line for each thing that was compared. Raises ConfigError."""
    parser = Parser(
        prog="python -m compiler.prove", description="Hold a plan's groups, layers and flags against its framework."
    )
    parser.add_argument("plan", metavar="PLAN", type=Path, help="a plan folder")
    parser.add_argument(
        "--wheel", type=Path, help="take the framework from this wheel (or unpacked wheel), not from what is installed"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    findings, parts = steady(args.plan, lambda: _read(args.plan))
    said = list if args.json else _said
    said(findings)
    for written, part in parts:
        findings += said(_tables(written, part.world)) + said(_oracle(part.world, args.wheel))
    different = sum(not finding.equal for finding in findings)
    if args.json:
        rows = [asdict(finding) for finding in findings]
        say(json.dumps({"equal": len(findings) - different, "of": len(findings), "findings": rows}, indent=1))
        return 1 if different else 0
    say(f"{len(findings) - different} of {len(findings)} equal")
    other = {finding.planned: finding.found for finding in findings if finding.what == RELEASE and not finding.equal}
    for planned, found in other.items():
        say(
            f"the plan is for release {planned} and {found} is what was found: differences may be the release's ; name a wheel "
            f"of {planned} with --wheel, or compile with framework.version={found}"
        )
    return 1 if different else 0


def _said(findings: Iterable[Finding]) -> list[Finding]:
    """The same, printed as they come."""
    found = []
    for finding in findings:
        equal = f"equal   {finding.what}: {finding.planned}"
        differs = f"DIFFERS {finding.what}: plan {finding.planned} | found {finding.found}"
        say(shown(equal if finding.equal else differs), flush=True)
        found.append(finding)
    return found


def _read(path: Path) -> tuple[list[Finding], list[tuple[folder.PlanFolder, Plan]]]:
    plan, findings = _files(path)
    return findings, [] if plan is None else _parts(path, plan)


def _files(path: Path) -> tuple[Plan | None, list[Finding]]:
    """What config.yaml compiles to, None where it does not; and every file that is not as the manifest says.

    Where this version wrote them, files are held against what it would write too. Raises ConfigError.
    """
    if not os.path.isfile(path / "config.yaml"):  # noqa: PTH113 - Path.is_file raises for a name too long
        raise ConfigError.of(
            f"{path} is no plan folder: it has no config.yaml", "name a folder that `python -m compiler` wrote"
        )
    edits = {edit.file: edit.what for edit in of_folder(path)}
    try:
        plan = compiled(path)
        edits = {edit.file: edit.what for edit in (again(path, plan) if is_ours(path) else ())} | edits
    except InvariantError as error:
        plan, edits = None, edits | {"config.yaml": f"it does not compile: {error.problems[0].what}"}
    findings = [Finding(file, equal=False, planned="as compiled", found=what) for file, what in edits.items()]
    return plan, findings or [compared("files", "as compiled", "as compiled")]


def _parts(path: Path, plan: Plan) -> list[tuple[folder.PlanFolder, Plan]]:
    """The plan as its folder holds it and as it compiles, or those of each pool."""
    return [(folder.read(path / name), part) for name, part in plan.parts.items()]


def _tables(plan: folder.PlanFolder, world: World) -> Iterator[Finding]:
    """The groups that plan.json holds, against those that its configuration gives."""
    written = plan.groups
    for kind in world.groups:
        yield groups(f"{kind} in plan.json", world.groups[kind], written[kind].tolist() if kind in written else [])


def _oracle(world: World, wheel: Path | None) -> Iterator[Finding]:
    name = world.config.framework.name
    place = f"{plugins.module(plugins.FRAMEWORKS, name)}.prove"
    try:
        oracle = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name != place:
            raise
        raise ConfigError.of(
            f"framework {name} has nothing to prove a plan against", "compile with framework=..."
        ) from None
    yield from oracle.prove(world, wheel)
