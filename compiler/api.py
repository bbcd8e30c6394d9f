"""The library's door: overrides in, Plan out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compiler.errors import CompilerError, ConfigError, short
from compiler.plan import Plan
from compiler.specs.config import Config


def compile_plan(
    overrides: Sequence[str] = (), config_dir: str | Path | None = None, config_name: str | None = None
) -> Plan:
    """Compile a plan from overrides, as on the command line; nothing is written.

    `config_dir` is a folder of the user's own group files, `config_name` the file to begin with (default: ours).
    With `workload.pools` the plan has two parts, `plan.parts["prefill"]` and `plan.parts["decode"]`.
    Raises CompilerError (ConfigError, InvariantError), with fixes that were tried.
    """
    from compiler.config.load import load_config
    from compiler.pools import compile_any

    def load(given: Sequence[str]) -> Config:
        return load_config(list(given), None if config_dir is None else str(config_dir), config_name)

    if isinstance(overrides, str):
        raise ConfigError.of(
            f"the overrides are one text, {short(overrides)}", 'give a list of them: ["KEY=VALUE", ...]'
        )
    config = None
    try:
        config = load(overrides)
        return compile_any(config)
    except CompilerError as error:
        from compiler.fixes import tried

        raise tried(error, config, list(overrides), load) from error
