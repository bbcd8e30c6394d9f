"""Hold a plan folder against its framework, in one process and without a GPU."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from compiler.commands import folder
from compiler.commands.steady import steady
from compiler.config.load import load_config
from compiler.entry import Parser, finish
from compiler.errors import ConfigError, shown
from compiler.frameworks.proof import Finding, groups
from compiler.passes import lay_out
from compiler.pools import pool_config
from compiler.specs.workload import ROLES
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
    args = parser.parse_args(argv)
    plans = steady(args.plan, lambda: [(world, folder.read(path)) for path, world in _worlds(args.plan)])
    findings = [found for world, plan in plans for found in (*_tables(plan, world), *_oracle(world, args.wheel))]
    for finding in findings:
        equal = f"equal   {finding.what}: {finding.planned}"
        differs = f"DIFFERS {finding.what}: plan {finding.planned} | found {finding.found}"
        print(shown(equal if finding.equal else differs))
    different = sum(not finding.equal for finding in findings)
    print(f"{len(findings) - different} of {len(findings)} equal")
    return 1 if different else 0


def _worlds(path: Path) -> list[tuple[Path, World]]:
    """The plan's ranks, or those of each pool's plan, from its own configuration."""
    if not os.path.isfile(path / "config.yaml"):  # noqa: PTH113 - Path.is_file raises for a name too long
        raise ConfigError.of(
            f"{path} is no plan folder: it has no config.yaml", "name a folder that `python -m compiler` wrote"
        )
    config = load_config([], str(path), "config")
    if config.workload.pools is None:
        return [(path, lay_out(config))]
    return [(path / role, lay_out(pool_config(config, role))) for role in ROLES]


def _tables(plan: folder.PlanFolder, world: World) -> Iterator[Finding]:
    """The groups that plan.json holds, against those that its configuration gives."""
    written = plan.groups
    for kind in world.groups:
        yield groups(f"{kind} in plan.json", world.groups[kind], written[kind].tolist() if kind in written else [])


def _oracle(world: World, wheel: Path | None) -> Iterator[Finding]:
    name = world.config.framework.name
    try:
        oracle = importlib.import_module(f"compiler.frameworks.{name}.prove")
    except ModuleNotFoundError as error:
        if error.name != f"compiler.frameworks.{name}.prove":
            raise
        raise ConfigError.of(
            f"framework {name} has nothing to prove a plan against", "compile with framework=..."
        ) from None
    yield from oracle.prove(world, wheel)
