"""Degrees that a pool names, as values: a list of degrees, or a file of the group `parallel`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from compiler.config import compose, source
from compiler.config.grammar import as_texts
from compiler.config.messages import NULL, translated
from compiler.config.schema import writable
from compiler.errors import ConfigError, Problem, short
from compiler.inputs.file import text as text_of
from compiler.nearest import one_of
from compiler.render.assets import folder
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel, looks_like_degrees, parse
from compiler.specs.workload import ROLES, Pool, Pools, Workload


def read(config: Config, config_dir: str | None) -> tuple[Workload, tuple[Problem, ...]]:
    """The workload with every pool's `parallel` as degrees; without pools and with the problems where they are bad."""
    workload = config.workload
    if workload.pools is None:
        return workload, ()
    try:
        with translated():
            return replace(workload, pools=_with_degrees(_typed(workload.pools), config, config_dir)), ()
    except ConfigError as error:
        return replace(workload, pools=None), error.problems


def _with_degrees(pools: Pools, config: Config, config_dir: str | None) -> Pools:
    """Raises ConfigError for a name that is neither degrees nor a file."""
    found = {}
    for role in ROLES:
        given = pools[role].parallel
        key = f"workload.pools.{role}.parallel"
        degrees = config.parallel if given is None else _degrees(key, given, config.parallel.order, config_dir)
        found[role] = replace(pools[role], parallel=degrees, environment=as_texts(pools[role].environment))
    return Pools(**found)


def _typed(given: Any) -> Pools:
    """Raises ConfigError for what is no pair of pools, and what OmegaConf raises for a bad key or value."""
    if not isinstance(given, dict):
        raise ConfigError.of(
            f"workload.pools={short(given)} is no pair of pools",
            "write {prefill: {instances: 2}, decode: {parallel: tp8}}",
        )
    unknown = list(_unknown("workload.pools", given, Pools))
    unknown += [
        Problem(f"workload.pools.{role}=null is no pool", "write {instances: 1}")
        for role in ROLES
        if role in given and given[role] is None
    ]
    unknown += [bad for role in ROLES for bad in _unknown(f"workload.pools.{role}", given.get(role), Pool)]
    unknown += [bad for role in ROLES for bad in _shapes(f"workload.pools.{role}", given.get(role))]
    if unknown:
        raise ConfigError(unknown)
    schema = OmegaConf.create({"workload": {"pools": writable(Pools)}})
    typed = OmegaConf.merge(schema, {"workload": {"pools": given}})
    missing = sorted(map(str, OmegaConf.missing_keys(typed)))
    if missing:
        raise ConfigError(Problem(f"{key} has no value", f"write {key}={{instances: 1}}") for key in missing)
    return cast("Pools", OmegaConf.to_object(typed.workload.pools))


def _unknown(path: str, given: Any, spec: type[Pool | Pools]) -> Iterator[Problem]:
    known = [item.name for item in fields(spec)]
    for key in given if isinstance(given, dict) else ():
        if key not in known:
            yield Problem(f"{path}.{short(key)} is not a setting", one_of(str(key), known))


def _shapes(path: str, given: Any) -> Iterator[Problem]:
    """What OmegaConf refuses without a key: another shape than the setting's, or none."""
    for item in fields(Pool) if isinstance(given, dict) else ():
        if given.get(item.name, item) is None and not str(item.type).startswith(("Optional", "Any")):
            yield Problem(f"{path}.{item.name}=null is no value", NULL)
            continue
        value, usual = given.get(item.name), item.default_factory() if callable(item.default_factory) else None
        if usual is not None and not isinstance(value, (type(usual), type(None))):
            form = "[A,B]" if isinstance(usual, list) else "{NAME: VALUE}"
            yield Problem(
                f"{path}.{item.name}={short(value)} is no {'list' if isinstance(usual, list) else 'mapping'}",
                f"write {form}",
            )


def _degrees(key: str, given: Any, order: str, config_dir: str | None) -> Parallel:
    """`order` is the plan's own, for degrees that name none."""
    values = _named(key, given, config_dir) if isinstance(given, str) else given
    if not isinstance(values, (dict, DictConfig)):
        raise ConfigError.of(
            f"{key}={short(given)} is no set of degrees", "write a name such as tp8_ep8, or {tp: 8, ep: 8}"
        )
    found = OmegaConf.create()
    OmegaConf.update(found, key, writable(Parallel(order=order)))
    OmegaConf.update(found, key, values, merge=True)  # below its key, which errors name
    return cast("Parallel", OmegaConf.to_object(OmegaConf.select(found, key)))


def _named(key: str, name: str, config_dir: str | None) -> Any:
    """A file comes before a list of degrees of the same spelling, ours before the user's, as in `parallel=NAME`."""
    folders = [folder("conf"), *([] if config_dir is None else [Path(config_dir).expanduser()])]
    files = (Path(place, "parallel", f"{name}.yaml") for place in folders)
    file = next((file for file in files if file.is_file()), None)
    if file is not None:
        return source.values(file, text_of(str(file), file, "name a YAML file"))
    if not looks_like_degrees(name):
        raise ConfigError.of(f"{key}={short(name)} is not known", compose.known("parallel", name))
    try:
        return parse(name)
    except ConfigError as error:
        raise ConfigError(
            replace(problem, what=problem.what.replace(f"parallel={name}", f"{key}={name}", 1))
            for problem in error.problems
        ) from error
