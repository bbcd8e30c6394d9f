"""Arguments of a framework that say what a key of the workload says: read as that key, so that what is costed is what is launched.

They stay where they are, and the plan emits the rest of what its keys say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from compiler.errors import ConfigError, Problem, short
from compiler.frameworks.emission import is_flag
from compiler.frameworks.options import leaves
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.specs.workload import Workload
from compiler.words import finite, whole


@dataclass(frozen=True)
class Said:
    """An argument as it was written, and what its name and values are."""

    name: str
    values: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """What an argument is read as: a key below `workload.`, and what it is for each value of the argument, or is made of them. An
    argument whose value is not here, or for which `when` does not hold, stays the user's. `finer`: values of the key that the
    argument says more of, rather than another thing.
    """

    name: str
    values: Mapping[str, Any] | Callable[[tuple[str, ...]], Any]
    when: Callable[[Workload], bool] = bool
    finer: tuple[Any, ...] = ()

    def of(self, said: Said, workload: Workload) -> Any:
        """The key's value; None where the argument is not read."""
        if not self.when(workload):
            return None
        return self.values(said.values) if callable(self.values) else self.values.get(" ".join(said.values))


def texts(values: tuple[str, ...]) -> list[str] | None:
    return list(values) or None


def whole_numbers(values: tuple[str, ...]) -> list[int] | None:
    """None where they are no whole numbers, which the framework then says itself."""
    found = [whole(value) for value in values]
    return None if None in found else [number for number in found if number is not None]


def count(values: tuple[str, ...]) -> int | None:
    """One whole number above 0."""
    found = whole(values[-1]) if values else None
    return found or None


def part(values: tuple[str, ...]) -> float | None:
    """A part of one."""
    found = finite(values[-1]) if values else None
    return found if found is not None and 0 <= found <= 1 else None


def words(arguments: Iterable[str], starts: Callable[[str], bool] = is_flag) -> Iterator[Said]:
    """Arguments with the values that follow each; a value may stand behind an equals sign."""
    found: list[str] = []
    for word in arguments:
        if found and starts(word):
            yield _said(found)
            found = []
        found.append(word)
    if found:
        yield _said(found)


def _said(found: Sequence[str]) -> Said:
    name, equals, value = found[0].partition("=")
    return Said(name, ((value,) if equals else ()) + tuple(found[1:]), tuple(found))


def inside(name: str, value: object) -> Iterator[Said]:
    """Dotted keys of a mapping below `name` with their values as texts, as a table of options spells them."""
    for key, inner in leaves(name, value):
        several = inner if isinstance(inner, list) else [inner]
        texts = tuple(item if isinstance(item, str) else json.dumps(item) for item in several)
        yield Said(key, texts, (f"{key}={' '.join(texts)}",))


def joined(said: Iterable[Said], others: Mapping[str, Mapping[str, str]]) -> Iterator[Said]:
    """Each argument of `others` with those that say more of it, as one: their values follow its own, by default as given there."""
    found = list(said)
    last = {item.name: item for item in found}
    more = {name: main for main, names in others.items() for name in names if main in last}
    for item in found:
        if item.name in others and item is last[item.name]:
            rest = [last[name] for name in others[item.name] if name in last]
            values = (last[name].values if name in last else (usual,) for name, usual in others[item.name].items())
            kept = tuple(word for each in (item, *rest) for word in each.words)
            yield Said(item.name, (*item.values, *(value for pair in values for value in pair)), kept)
        elif item.name not in more:
            yield item


def read(config: Config, keys: Mapping[str, Key], said: Iterable[Said]) -> Config:
    """The configuration with the keys that its arguments say. Raises ConfigError where a key says another thing."""
    if not config.workload.train:
        return config
    workload, usual, bad = config.workload, Workload(kind="train"), list[Problem]()
    for item, key, value in _readings(config, keys, said):
        now = _value(config.workload, key.name)
        if now not in (value, _value(usual, key.name), *key.finer):
            what = f"framework.args sets {short(' '.join(item.words))}, and workload.{key.name}={_text(now)}"
            bad.append(Problem(what, f"leave {item.name} out, or write workload.{key.name}={_text(value)}"))
        workload = _with(workload, key.name, value)
    if bad:
        raise ConfigError(bad)
    return replace(config, workload=workload)


def agreeing(config: Config, keys: Mapping[str, Key], said: Iterable[Said]) -> frozenset[str]:
    """Arguments that say what their keys say: the plan has no need to say it again."""
    if not config.workload.train:
        return frozenset()
    same = [item for item, key, value in _readings(config, keys, said) if _value(config.workload, key.name) == value]
    return frozenset(word.partition("=")[0] for item in same for word in (item.name, *item.words))


def _readings(config: Config, keys: Mapping[str, Key], said: Iterable[Said]) -> Iterator[tuple[Said, Key, Any]]:
    for item in said:
        key = keys.get(item.name)
        value = key.of(item, config.workload) if key else None
        if key is not None and value is not None:
            yield item, key, value


def _value(spec: Any, name: str) -> Any:
    for part in name.split("."):
        spec = getattr(spec, part)
    return spec


def _with(spec: Any, name: str, value: Any) -> Any:
    head, _, rest = name.partition(".")
    return replace(spec, **{head: _with(getattr(spec, head), rest, value) if rest else value})


def _text(value: Any) -> str:
    return str(value).replace(" ", "").replace("'", "").lower()
