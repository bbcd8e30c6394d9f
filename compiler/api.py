"""The library's door: overrides in, Plan out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.errors import CompilerError, ConfigError, short
from compiler.plan import Plan
from compiler.specs.config import Config

if TYPE_CHECKING:
    from compiler.searches.find import Found

AUTO = "parallel=auto"


def compile_plan(
    overrides: Sequence[str] = (), config_dir: str | Path | None = None, config_name: str | None = None
) -> Plan:
    """Compile a plan from overrides, as on the command line; nothing is written.

    `config_dir` is a folder of the user's own group files, `config_name` the file to begin with (default: ours).
    With `workload.pools` the plan has two parts, `plan.parts["prefill"]` and `plan.parts["decode"]`. With `parallel=auto` it is the
    best one that a search finds. Raises CompilerError (ConfigError, InvariantError), with fixes that were tried.
    """
    made = compile_or_search(overrides, config_dir, config_name)
    return made if isinstance(made, Plan) else made.best


def search(
    overrides: Sequence[str] = (), config_dir: str | Path | None = None, config_name: str | None = None
) -> Found:
    """Search for the best plan, with or without `parallel=auto` among the overrides; nothing is written. Raises CompilerError."""
    own = [] if any(item.startswith("parallel=") for item in overrides) else [AUTO]
    made = compile_or_search([*overrides, *own], config_dir, config_name)
    if isinstance(made, Plan):
        raise ConfigError.of("a search has its degrees written", f"write {AUTO}")
    return made


def compile_or_search(
    overrides: Sequence[str],
    config_dir: str | Path | None = None,
    config_name: str | None = None,
    tell: Callable[[float], None] = lambda _part: None,
) -> Plan | Found:
    """The plan that overrides make, or with `parallel=auto` what a search finds, which says how much of it is done. Raises CompilerError."""
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
        if not config.search.auto:
            return compile_any(config)
    except CompilerError as error:
        from compiler.fixes import tried

        raise tried(error, config, list(overrides), load) from error
    from compiler.naming import default_name
    from compiler.searches.find import searched

    found = searched(config, overrides, load, tell)
    return replace(found, name=config.search.name or default_name(overrides))
