"""The library's door: overrides in, Plan out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compiler.plan import Plan


def compile_plan(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Plan:
    """Compile one plan from overrides, as on the command line; nothing is written.

    `config_dir` is a folder of the user's own group files. Raises CompilerError (ConfigError, InvariantError).
    """
    from compiler.config.load import load_config
    from compiler.passes import compile_config

    return compile_config(load_config(list(overrides), None if config_dir is None else str(config_dir)))
