"""The library's door: overrides in, Plan out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compiler.errors import CompilerError, ConfigError
from compiler.plan import Plan
from compiler.pooled import PooledPlan
from compiler.specs.config import Config


def compile_plan(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Plan:
    """Compile one plan from overrides, as on the command line; nothing is written.

    `config_dir` is a folder of the user's own group files. Raises CompilerError (ConfigError, InvariantError).
    """
    found = compiled(overrides, config_dir)
    if isinstance(found, PooledPlan):
        raise ConfigError.of("workload.pools makes two plans of one", "call compile_pools, or leave workload.pools out")
    return found


def compile_pools(overrides: Sequence[str], config_dir: str | Path | None = None) -> PooledPlan:
    """Compile a prefill and a decode plan that are launched together; the rest is as in `compile_plan`."""
    found = compiled(overrides, config_dir)
    if isinstance(found, Plan):
        raise ConfigError.of(
            "workload.pools has no value", "call compile_plan, or write workload.pools={prefill:...,decode:...}"
        )
    return found


def compiled(
    overrides: Sequence[str], config_dir: str | Path | None = None, config_name: str | None = None
) -> Plan | PooledPlan:
    """Whichever of both the overrides make. Raises CompilerError, with fixes that were tried."""
    from compiler.config.load import load_config
    from compiler.pools import compile_any

    def load(given: Sequence[str]) -> Config:
        return load_config(list(given), None if config_dir is None else str(config_dir), config_name)

    config = None
    try:
        config = load(overrides)
        return compile_any(config)
    except CompilerError as error:
        from compiler.fixes import tried

        raise tried(error, config, list(overrides), load) from error
