"""The library's door: overrides in, Plan out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compiler.errors import ConfigError
from compiler.plan import Plan
from compiler.pooled import PooledPlan
from compiler.specs.config import Config


def compile_plan(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Plan:
    """Compile one plan from overrides, as on the command line; nothing is written.

    `config_dir` is a folder of the user's own group files. Raises CompilerError (ConfigError, InvariantError).
    """
    from compiler.passes import compile_config

    config = _load(overrides, config_dir)
    if config.workload.pools is not None:
        raise ConfigError.of("workload.pools makes two plans of one", "call compile_pools, or leave workload.pools out")
    return compile_config(config)


def compile_pools(overrides: Sequence[str], config_dir: str | Path | None = None) -> PooledPlan:
    """Compile a prefill and a decode plan that are launched together; the rest is as in `compile_plan`."""
    from compiler.pools import compile_pools

    config = _load(overrides, config_dir)
    if config.workload.pools is None:
        raise ConfigError.of(
            "workload.pools has no value", "call compile_plan, or write workload.pools={prefill:...,decode:...}"
        )
    return compile_pools(config)


def _load(overrides: Sequence[str], config_dir: str | Path | None) -> Config:
    from compiler.config.load import load_config

    return load_config(list(overrides), None if config_dir is None else str(config_dir))
