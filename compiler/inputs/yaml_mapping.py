"""The text of a YAML mapping -> its values, by libyaml where PyYAML has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from compiler.errors import ConfigError
from compiler.inputs.file import MOST_YAML_BYTES as MOST_BYTES
from compiler.inputs.json_object import MOST_DIGITS

VALUE_BYTES = 1000
"""What a value counts beside its text: many values take as long as long ones."""
MOST_DEPTH = 50


def read(what: str, text: str, resolvers: Mapping[Any, Any] | None = None, *, known: bool = False) -> dict[Any, Any]:
    """Empty where the text is; `resolvers` say which plain words are numbers, where not as YAML 1.1 has it.
    A file that is `known`, one of ours, is not parsed twice to see what it comes to.

    Raises ConfigError for what is no mapping, for a key written twice, and for more than can be handled.
    """
    import yaml

    loader = safe_loader(None if resolvers is None else tuple((key, tuple(found)) for key, found in resolvers.items()))
    try:
        if not known:
            bounded(what, text, loader)
        found = yaml.load(text, loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise ConfigError.of(f"{what} is no YAML{where}: {said}", "mend the line it names") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError.of(f"{what} holds no mapping of keys to values", "write key: value, a line each")
    return found


def bounded(what: str, text: str, loader: Any, most_bytes: int = MOST_BYTES) -> None:
    """Raises ConfigError before a value is built: a few lines of anchors can stand for more than a machine holds."""
    import yaml

    sizes: dict[str | None, int] = {}
    anchors: list[str | None] = [None]
    totals = [0]  # of the collections that are open, as their anchors are
    events: Iterator[Any] = yaml.parse(text, loader)
    for event in events:
        where = f"{what} line {event.start_mark.line + 1}"
        if isinstance(event, yaml.CollectionStartEvent):
            anchors.append(event.anchor)
            totals.append(VALUE_BYTES)
            if len(totals) > MOST_DEPTH:
                raise ConfigError.of(f"{where} is nested more than {MOST_DEPTH} deep", "write it flat")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = anchors.pop(), totals.pop()
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, VALUE_BYTES + len(event.value)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in anchors:
                raise ConfigError.of(f"{where}: *{event.anchor} holds itself", "mend the anchor")
            anchor, size = None, sizes.get(event.anchor, 0)
        else:
            continue
        if anchor is not None:
            sizes[anchor] = size
        totals[-1] += size
        if totals[-1] > most_bytes:
            raise ConfigError.of(
                f"{where}: with aliases written out, and {VALUE_BYTES:,} bytes for each value, it has more than {most_bytes:,}",
                "write fewer values, or shorter ones",
            )


@cache
def safe_loader(resolvers: tuple[tuple[Any, tuple[Any, ...]], ...] | None = None) -> Any:
    """A safe loader that takes no key twice, and no integer too long to print."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]  # one of two
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if key.tag != "tag:yaml.org,2002:str":
                    continue
                if key.value in seen:
                    raise _error(f"found duplicate key {key.value}", key)
                seen.add(key.value)
            return super().construct_mapping(node, deep=deep)

        def construct_yaml_int(self, node: Any) -> int:
            if len(node.value) > MOST_DIGITS:
                raise _error(f"an integer of {len(node.value)} digits", node)
            return int(super().construct_yaml_int(node))

    def _error(said: str, node: Any) -> Exception:
        return yaml.constructor.ConstructorError(None, None, said, node.start_mark)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    if resolvers is not None:
        Loader.yaml_implicit_resolvers = {key: list(found) for key, found in resolvers}
    return Loader
