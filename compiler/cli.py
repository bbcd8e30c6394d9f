"""The command line: parse, compile, write, sum up. Errors leave as one line each and an exit code."""

from __future__ import annotations

import argparse
import gc
import os
from collections.abc import Sequence
from typing import NoReturn

from compiler.entry import Parser, finish
from compiler.waiting import waiting


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run, and exit with the contract's codes."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print, and we say it our way
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Do what the arguments ask and return the exit code. Raises CompilerError."""
    args = _parse(argv)
    if args.version:
        from compiler import __version__

        print(f"rankplan {__version__}")
        return 0
    if args.multirun or any(item.startswith("hydra.mode=") for item in args.overrides):
        from compiler.sweep import sweep

        return sweep(args.overrides, _config_dir(args), args.config_name, json=args.json)
    if args.help or args.hydra_help or args.cfg or args.info or args.shell_completion:
        from compiler.config.hydra_app import show

        return show(args)
    return _compile(args.overrides, _config_dir(args), args.config_name, json=args.json)


def _compile(overrides: list[str], config_dir: str | None, config_name: str | None, *, json: bool) -> int:
    from compiler.api import compile_or_search
    from compiler.console import compiled, found, print_json, searched, summary
    from compiler.plan import Plan

    gc.disable()  # one plan, and then the process ends: looking for cycles takes 7 % of its time
    what = "searching" if "parallel=auto" in overrides else "compiling"
    with waiting(what) as tell:
        made = compile_or_search(overrides, config_dir, config_name, tell)
        if isinstance(made, Plan):
            folder = made.write(made.config.out)
        else:
            places = made.write(made.best.config.out)
    if isinstance(made, Plan):
        if json:
            print_json(compiled(made, folder))
        else:
            summary(made, folder)
    elif json:
        print_json(searched(made, *places))
    else:
        found(made, *places)
    return 0


def _config_dir(args: argparse.Namespace) -> str | None:
    """The user's folder: --config-dir, or --config-path, which Hydra users know too."""
    found: str | None = args.config_dir or args.config_path
    return found


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Hydra's options, before, between or after the overrides."""
    parser = Parser(add_help=False, allow_abbrev=False, prog="python -m compiler")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--hydra-help", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    parser.add_argument("--run", "-r", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-path", "-cp")
    parser.add_argument("--config-name", "-cn")
    parser.add_argument(
        "--info",
        "-i",
        nargs="?",
        const="all",
        choices=["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"],
    )
    return parser.parse_intermixed_args(list(argv))
