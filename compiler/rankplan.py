"""`rankplan`: a command by its word, and without one a compile, as `python -m compiler` does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

WORDS = {
    "calibrate": "compiler.commands.calibrate",
    "check": "compiler.commands.check",
    "completion": "compiler.commands.completion",
    "diff": "compiler.diff.command",
    "impact": "compiler.commands.impact",
    "prove": "compiler.commands.prove",
    "repair": "compiler.commands.repair",
    "show": "compiler.commands.show",
}
"""Word -> the module whose `main` it runs."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Exit with the command's code."""
    given = sys.argv[1:] if argv is None else list(argv)
    word = given[0] if given else ""
    module, rest = (WORDS[word], given[1:]) if word in WORDS else ("compiler.cli", given)
    importlib.import_module(module).main(rest)
    raise AssertionError("a command exits")


if __name__ == "__main__":
    main()
