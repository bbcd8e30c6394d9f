"""The library's door: overrides in, Plan out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from compiler.errors import CompilerError, ConfigError
from compiler.plan import Plan
from compiler.pooled import PooledPlan
from compiler.specs.config import Config


def compile_plan(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Plan:
    """Compile one plan from overrides, as on the command line; nothing is written.

    `config_dir` is a folder of the user's own group files. Raises CompilerError (ConfigError, InvariantError).
    """
    return cast("Plan", compiled(overrides, config_dir, check=_one))


def compile_pools(overrides: Sequence[str], config_dir: str | Path | None = None) -> PooledPlan:
    """Compile a prefill and a decode plan that are launched together; the rest is as in `compile_plan`."""
    return cast("PooledPlan", compiled(overrides, config_dir, check=_two))


def _one(config: Config) -> None:
    if config.workload.pools is not None:
        raise ConfigError.of("workload.pools makes two plans of one", "call compile_pools, or leave workload.pools out")


def _two(config: Config) -> None:
    if config.workload.pools is None:
        raise ConfigError.of(
            "workload.pools has no value", "call compile_plan, or write workload.pools={prefill:...,decode:...}"
        )


def compiled(
    overrides: Sequence[str],
    config_dir: str | Path | None = None,
    config_name: str | None = None,
    check: Callable[[Config], None] = lambda _: None,
) -> Plan | PooledPlan:
    """Whichever of both the overrides make. Raises CompilerError, with fixes that were tried; and what `check` raises."""
    from compiler.config.load import load_config
    from compiler.pools import compile_any

    def load(given: Sequence[str]) -> Config:
        return load_config(list(given), None if config_dir is None else str(config_dir), config_name)

    config = None

    def explained(error: CompilerError) -> CompilerError:
        from compiler.fixes import tried

        return tried(error, config, list(overrides), load)

    try:
        config = load(overrides)
    except CompilerError as error:
        raise explained(error) from error
    check(config)
    try:
        return compile_any(config)
    except CompilerError as error:
        raise explained(error) from error
