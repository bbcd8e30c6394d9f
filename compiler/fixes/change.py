"""An override, laid over a configuration that is already frozen: a hundred times as fast as composing it again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache
from typing import Any

from compiler.specs.config import Config
from compiler.specs.degrees import Parallel, parse

GROUPS = ("hardware", "model", "workload", "framework", "scheduler", "site", "launch", "expect")
"""Groups whose choice is a file; only composing again finds it."""

_WORD = re.compile(r"[\w./:@%+*?|$-]+")


def key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def found(config: Config, path: str) -> Any:
    """The value at a dotted path. Raises KeyError where a configuration has none."""
    node: Any = config
    for name in path.split("."):
        if isinstance(node, Mapping):
            node = node[name]
        elif is_dataclass(node) and any(item.name == name for item in fields(node)):
            node = getattr(node, name)
        else:
            raise KeyError(path)
    return node


def usual(config: Config, path: str) -> Any:
    """The default of a field. Raises KeyError where it has none, or where there is no such field."""
    parent, _, name = path.rpartition(".")
    node = found(config, parent) if parent else config
    for item in fields(node) if is_dataclass(node) else ():
        if item.name == name:
            if item.default is not MISSING and item.default != "???":
                return item.default
            if item.default_factory is not MISSING:
                return item.default_factory()
    raise KeyError(path)


def applied(config: Config, overrides: Sequence[str], given: Sequence[str]) -> Config:
    """The configuration with overrides of fields, or of `parallel`; `given` are the user's, of which degrees stay.

    Raises KeyError for no field, CompilerError for degrees that are none.
    """
    for override in overrides:
        path, _, text = override.partition("=")
        if path == "parallel":
            config = replace(config, parallel=_parallel(text))
            config = applied(config, [item.lstrip("+~") for item in given if _degree(item)], ())
        elif path.startswith("workload.pools.") and path.endswith(".parallel"):
            config = _set(config, path.split("."), replace(_parallel(text), order=config.parallel.order))
        else:
            config = _set(config, path.split("."), read(text))
    return config


def _parallel(name: str) -> Parallel:
    degrees: dict[str, Any] = dict(parse(name))
    return Parallel(**degrees)


def _degree(override: str) -> bool:
    return key(override).startswith("parallel.")


def _set(node: Any, path: Sequence[str], value: Any) -> Any:
    name, *rest = path
    if isinstance(node, Mapping):
        kept = {other: entry for other, entry in node.items() if other != name}
        return kept if value is None and not rest else {**kept, name: _set(node[name], rest, value) if rest else value}
    if not is_dataclass(node) or all(item.name != name for item in fields(node)):
        raise KeyError(name)
    (spec,) = (item for item in fields(node) if item.name == name)
    new = _set(getattr(node, name), rest, value) if rest else _typed(str(spec.type), value)
    return replace(node, **{name: new})  # type: ignore[type-var]


def _typed(spec: str, value: Any) -> Any:
    """The value as the schema converts it: 010 is 10, off is false, and a number a text where the field holds texts."""
    number = re.fullmatch(r"(?:Optional\[)?(int|float|bool)\]?", spec)
    if number and value is not None:
        from omegaconf import BooleanNode, FloatNode, IntegerNode, ValidationError

        try:
            nodes: dict[str, Any] = {"int": IntegerNode(), "float": FloatNode(), "bool": BooleanNode()}
            return nodes[number[1]].validate_and_convert(value)
        except ValidationError as error:
            raise TypeError(spec) from error
    if "str" not in spec or "dict" in spec:
        return value
    if isinstance(value, list):
        return [item if isinstance(item, str) else written(item) for item in value]
    return value if value is None or isinstance(value, str) else written(value)


@cache
def read(text: str) -> Any:
    """A value as Hydra's grammar reads it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(f"key={text}")
    except HydraException:
        return text
    return text if override.is_sweep_override() else override.value()


def written(value: Any) -> str:
    """A value as an override spells it; with a space in it where a shell would want quotes around the whole."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_entry, value))}]"
    return repr(value) if isinstance(value, float) else str(value)


def _entry(value: Any) -> str:
    """An entry of a list; what Hydra's grammar would take apart is quoted."""
    if not isinstance(value, str):
        return written(value)
    if _WORD.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
