"""docs/configuration.md: every key of the configuration, what it takes, and the string under its field."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields, is_dataclass
from itertools import pairwise
from typing import Any, get_args, get_type_hints

from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.specs.fields import MISSING, rule_of
from compiler.specs.units import written
from compiler.specs.workload import Pools

HEAD = """# Every key

`python -m tests.test_configuration` writes this page from the configuration's own schema (`compiler/specs/`), and a test holds it
to be current. Keys are written as overrides (`workload.global_batch_size=256`) or in YAML files of a group folder. Units are SI.
"""


def page() -> str:
    """Markdown: a table for each group."""
    groups: dict[str, list[str]] = {}
    for path, item, text in keys():
        top = (
            path.rpartition(".")[0] if path.startswith("scheduler.") else path.partition(".")[0] if "." in path else ""
        )
        groups.setdefault(top, []).append(f"| `{path}` | {_values(item)} | {_default(item)} | {text} |")
    tables = (
        f"\n## {name or 'Of the whole'}\n\n| key | takes | default | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
        for name, rows in groups.items()
    )
    return HEAD + "".join(tables)


def keys() -> Iterator[tuple[str, Field[Any], str]]:
    """Path, field and string of every key that takes a value, targets' own options among them."""
    yield from _below(Config, "")
    yield from _below(Pools, "workload.pools.")
    for name in registry.names():
        yield from _below(registry.target(name).options, f"scheduler.{name}.")


def _below(spec: type[Any], path: str) -> Iterator[tuple[str, Field[Any], str]]:
    hints, said = get_type_hints(spec), strings(spec)
    for item in fields(spec):
        kind = next((part for part in (hints[item.name], *get_args(hints[item.name])) if is_dataclass(part)), None)
        listed = "[]" * str(hints[item.name]).startswith("list[")
        if not isinstance(kind, type) or listed:
            yield f"{path}{item.name}", item, said.get(item.name, "")
        if isinstance(kind, type):
            yield from _below(kind, f"{path}{item.name}{listed}.")


def strings(spec: type[Any]) -> dict[str, str]:
    """Field -> the string under it, inherited ones among them."""
    found: dict[str, str] = {}
    for base in reversed(spec.__mro__[:-1]):
        body = ast.parse(inspect.getsource(base)).body[0].body  # type: ignore[attr-defined]  # a class has one
        for field, below in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(below.value.value).split())  # type: ignore[union-attr]
    return found


def _values(item: Field[Any]) -> str:
    """What a key takes, by its type and rule."""
    rule, kind = rule_of(item), str(item.type).removeprefix("Optional[").removesuffix("]")
    if rule.options:
        return ("list of " if kind.startswith("list") else "") + ", ".join(f"`{word}`" for word in rule.options)
    if rule.least is not None and rule.greatest is not None:
        unit = f" {rule.quantity.unit}" if rule.quantity and rule.quantity.unit != "of 1" else ""
        many = "list of " if kind.startswith("list") else ""
        return f"{many}{_number(rule.least)} to {_number(rule.greatest)}{unit}"
    return {"bool": "`true`, `false`", "str": "text", "Any": "any"}.get(kind, _collection(kind))


def _number(value: float) -> str:
    return f"{round(value):,}" if float(value).is_integer() and value < 2**32 else written(value)


def _collection(kind: str) -> str:
    return "list" if kind.startswith("list") else "mapping" if kind.startswith("dict") else "section"


def _default(item: Field[Any]) -> str:
    if item.default_factory is not NO_DEFAULT:
        made = item.default_factory()
        return f"`{_plain(made)}`" if isinstance(made, (list, dict)) else ""
    if item.default is MISSING or item.default is NO_DEFAULT:
        return "a file's"
    return f"`{_plain(item.default)}`"


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return written(value) if isinstance(value, float) else str(value)
