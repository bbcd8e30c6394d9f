"""A composed DictConfig against the schema: keys that it does not have, and interpolations of another shape than theirs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from typing import Any, cast, get_type_hints

from omegaconf import AnyNode, Container, DictConfig, ListConfig, Node, OmegaConf

from compiler.config.settings import meant
from compiler.errors import ConfigError, Problem, short
from compiler.nearest import one_of
from compiler.specs.config import Config


def check_keys(cfg: DictConfig) -> None:
    """Raises ConfigError for unknown keys: Hydra's + walks past a schema, and a misspelt key must not run as default."""
    if OmegaConf.get_type(cfg) is not Config:
        raise ConfigError.of(
            "the primary configuration does not start from the schema", "give it `defaults: [rankplan_schema, _self_]`"
        )
    bad = list(_unknown(cfg))
    if bad:
        raise ConfigError(bad)


def _unknown(node: DictConfig, path: str = "") -> Iterator[Problem]:
    """Every key of a typed node that its type does not have, at any depth; mappings with the user's own keys are open."""
    spec = OmegaConf.get_type(node)
    if not dataclasses.is_dataclass(spec):
        return
    known = [item.name for item in dataclasses.fields(spec)]
    for key in map(str, node):
        child = node._get_node(key)  # noqa: SLF001 - the public way resolves and fails on missing values
        if key not in known:
            yield Problem(f"{path}{key} is not a setting", suggestion(f"{path}{key}", known))
        elif isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():  # noqa: SLF001 - same
            yield from _unknown(child, f"{path}{key}.")


def check_missing(cfg: DictConfig, *keys: str) -> None:
    """Raises ConfigError for every key, or each of these, that has no value yet."""
    missing = [key for key in keys if OmegaConf.is_missing(cfg, key)] if keys else sorted({*_missing(cfg)})
    if missing:
        raise ConfigError(
            Problem(f"{key} has no value", f"write {key}=..., or choose a file that has it") for key in missing
        )


def _missing(node: Container) -> Iterator[str]:
    """Keys that have no value, at any depth: `OmegaConf.missing_keys`, which resolves every value and takes four times as long."""
    for key in _keys(node):
        child = node._get_node(key)  # noqa: SLF001 - the public way resolves
        if not isinstance(child, Node) or child._is_none():  # noqa: SLF001 - same
            continue
        if child._is_missing():  # noqa: SLF001 - same
            yield str(node._get_full_key(key))  # noqa: SLF001 - same
            continue
        found = node[key] if child._is_interpolation() else child  # noqa: SLF001 - same
        if isinstance(found, Container):
            yield from _missing(found)


def _keys(node: Container) -> Sequence[Any]:
    return list(node) if isinstance(node, DictConfig) else range(len(cast("ListConfig", node)))


def check_search(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Raises ConfigError for keys of a search on the command line where none is made: they would limit nothing."""
    given = [item for item in overrides if re.match(r"[+~]*search[.=]", item)]
    bad = [
        Problem(
            f"{short(item)} is what parallel=auto says", "leave search.auto out, and choose auto for the group parallel"
        )
        if "search.auto" in item
        else Problem(
            f"{short(item)} limits no search: the degrees are written",
            f"write parallel=auto, or leave {item.partition('=')[0].lstrip('+~')} out",
        )
        for item in given
        if "search.auto" in item or not cfg.search.auto
    ]
    if bad:
        raise ConfigError(bad)


def mistyped(node: Container, path: str = "") -> Iterator[Problem]:
    """Interpolations that bring something else than their key holds: OmegaConf compares single values with each other alone."""
    spec = OmegaConf.get_type(node)
    for key in _keys(node):
        child, where = node._get_node(key), f"{path}{key}"  # noqa: SLF001 - the public way resolves
        if not isinstance(child, Node) or child._is_none() or child._is_missing() or _free(spec, key, child):  # noqa: SLF001 - same
            continue
        if not child._is_interpolation():  # noqa: SLF001 - same
            yield from mistyped(child, f"{where}.") if isinstance(child, Container) else ()
            continue
        found = child._maybe_dereference_node()  # noqa: SLF001 - same; what leads nowhere is said when it is converted
        if found is not None and _held(found) != _held(child):
            yield Problem(
                f"{where}={child._value()} brings {short(found)}",  # noqa: SLF001 - same
                "write its own values, or name a key that holds the same",
            )


def _free(spec: Any, key: Any, child: Node) -> bool:
    """Whether a key may hold anything. A child's own type does not tell: an interpolation has lost its key's."""
    return isinstance(child, AnyNode) and (
        not dataclasses.is_dataclass(spec) or _hints(cast("Hashable", spec))[key] is Any
    )


@cache
def _hints(spec: Hashable) -> dict[str, Any]:
    return get_type_hints(spec)


def _held(node: Any) -> Any:
    """What kind of container a node is, and of what."""
    if not isinstance(node, Container):
        return None
    data = node._metadata  # noqa: SLF001 - the public way resolves
    spec = data.ref_type if dataclasses.is_dataclass(data.ref_type) else OmegaConf.get_type(node)
    return isinstance(node, ListConfig), spec if dataclasses.is_dataclass(spec) else data.element_type


def suggestion(key: str, known: Sequence[str]) -> str:
    return meant(key) or one_of(key.rpartition(".")[2], known)
