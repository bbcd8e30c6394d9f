"""Typed look-ups in the object of a `config.json`.

A key that is not there is looked for under its other names (a class's `attribute_map`), then among the defaults of the family's
configuration class, which are noted: `null` counts as said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any

from compiler.errors import Problem, short
from compiler.frozen import dataclass
from compiler.specs.limits import INT32, LAYERS

LARGE = 1e6
"""More than any factor or weight of a loss."""

LONGEST = 64
"""Characters of a word, as of a model's activation."""


@dataclass(frozen=True)
class Source:
    """The file's object. Look-ups note what is missing or of a wrong type in `problems`, what a class's default says in `assumed`, and
    go on, so that all of it is told at once. `aliases`: name -> other names. `core`: keys that must be there.
    """

    where: str
    family: str
    data: Mapping[str, Any]
    problems: list[Problem] = field(default_factory=list)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    core: frozenset[str] = frozenset()

    def find(self, key: str) -> Any:
        """The key's value under any of its names, else the class's default; None where nothing is said."""
        names = (key, *self.aliases.get(key, ()))
        for name in names:
            if self.data.get(name) is not None:
                return self.data[name]
        if any(name in self.data for name in names) or self.core.intersection(names):
            return None
        for name in names:
            if name in self.defaults:
                self.assumed.append(key)
                return self.defaults[name]
        return None

    def called(self, key: str) -> str:
        """The name by which the file says the key."""
        names = [name for name in (key, *self.aliases.get(key, ())) if name in self.data]
        return next((name for name in names if self.data[name] is not None), names[0] if names else key)

    def inside(self, key: str) -> Source:
        """The mapping of that key, with the same defaults."""
        return replace(self, data=self.mapping(key))

    def within(self, key: str, data: Mapping[str, Any] | None = None) -> Source:
        """The mapping of that key, or one that is within it, without defaults."""
        inner = self.mapping(key) if data is None else data
        return replace(self, where=f"{self.where} within {key}", data=inner, defaults={}, aliases={}, core=frozenset())

    def required(self, key: str, most: int = INT32) -> int:
        if self.find(key) is None:
            self.note(
                f"has no {self.called(key)}, which model_type {self.family} needs", "take the model's own config.json"
            )
            return 1
        return self.integer(key, 1, minimum=1, most=most)

    def layers(self, key: str = "num_hidden_layers") -> int:
        return self.required(key, LAYERS)

    def fits(self, key: str, count: int) -> int:
        """The number of layers that the key makes, where a model may have so many."""
        if count > LAYERS:
            self.note(f"makes {count} layers by {key}", f"write at most {LAYERS}")
        return min(count, LAYERS)

    def integer(self, key: str, default: int, minimum: int = 0, most: int = INT32) -> int:
        value = self.find(key)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer() and abs(value) < INT32:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= most:
            above = isinstance(value, int) and value > most
            self.note(
                f"has {self.called(key)}={short(repr(value))}",
                f"write at most {most}" if above else f"write a whole number, {minimum} or more",
            )
            return max(default, minimum)
        return value

    def first(self, key: str, default: int, most: int = INT32) -> int:
        """The key's number, or the first of a list with one a layer, which are alike in every model that was published."""
        value = self.find(key)
        listed = isinstance(value, list) and value
        alone = replace(self, data={**self.data, self.called(key): value[0]}) if listed else self
        return alone.integer(key, default, minimum=1, most=most)

    def positive(self, key: str, most: int = INT32) -> int | None:
        """The key's number, None where it is left out, null or 0."""
        return self.integer(key, 0, most=most) or None

    def size(self, key: str) -> int | None:
        """The key's number, 1 or more; None where it is left out or null."""
        return None if self.find(key) is None else self.integer(key, 1, minimum=1)

    def auto(self, key: str, usual: int) -> int:
        """The key's number, the usual one where it is left out, null or "auto"."""
        return usual if self.find(key) in (None, "auto") else self.integer(key, 1, minimum=1)

    def number(self, key: str, default: float | None = None, most: float = LARGE) -> float | None:
        """The key's number, the default where it is left out or null."""
        value = self.find(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            better = f" from 0 to {most:g}" if most < LARGE else ", 0 or more"
            self.note(f"has {self.called(key)}={short(repr(value))}", f"write a number{better}")
            return default
        return float(value)

    def word(self, key: str, default: str, options: tuple[str, ...] = ()) -> str:
        """The key's text, one of `options` where there are some."""
        value = self.find(key)
        if value is None:
            return default
        if (
            not isinstance(value, str)
            or (options and value not in options)
            or len(value) > LONGEST
            or not value.isprintable()
        ):
            better = f"one of {', '.join(options)}" if options else f"a text of at most {LONGEST} characters"
            self.note(f"has {self.called(key)}={short(repr(value))}", f"write {better}")
            return default
        return value

    def mapping(self, *keys: str) -> Mapping[str, Any]:
        """The first of these keys that holds a mapping, else an empty one."""
        for key in keys:
            value = self.data.get(key)
            if isinstance(value, Mapping):
                return value
            if value is not None:
                self.note(f"has {key}={short(repr(value))}", "write a mapping")
        return {}

    def flag(self, key: str, *, default: bool = False) -> bool:
        value = self.find(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.note(f"has {self.called(key)}={short(repr(value))}", "write true or false")
        return bool(value)

    def entries(self, key: str, kind: type) -> list[Any] | None:
        """The key's list, None where it is left out or null."""
        value = self.find(key)
        if value is None:
            return None
        if isinstance(value, list) and len(value) > LAYERS:
            self.note(f"has {len(value)} entries in {self.called(key)}", f"write at most {LAYERS}")
            return None
        if not isinstance(value, list) or not all(type(entry) is kind for entry in value):
            self.note(f"has {self.called(key)}={short(repr(value))}", f"write a list of {kind.__name__} values")
            return None
        return value

    def places(self, key: str, first: int = 0) -> frozenset[int] | None:
        """Layers that the key's list names, counted from 0 where the file counts from `first`; None where it is left out or null."""
        found = self.entries(key, int)
        if found is None:
            return None
        for place in [place for place in found if not first <= place <= LAYERS][:1]:
            self.note(f"has {place} in {self.called(key)}", f"write numbers of layers, {first} to {LAYERS}")
        return frozenset(place - first for place in found)

    def each(self, key: str, kind: type, count: int) -> list[Any] | None:
        """The key's list with an entry for each of `count` layers; further entries are those of MTP layers."""
        found = self.entries(key, kind)
        if found is not None and len(found) < count:
            self.note(f"has {len(found)} entries in {self.called(key)} for {count} layers", "write one a layer")
            return None
        return found and found[:count]

    def note(self, what: str, instead: str) -> None:
        self.problems.append(Problem(f"{self.where} {what}", instead))


Part = Callable[[Source], dict[str, Any]]
"""Reads some of Model's fields from a file; of `blocks` only what differs from the model's own keys."""


def always(**found: Any) -> Part:
    """What a family's code does whatever its file says."""
    return lambda _: found


def merged(parts: tuple[Part, ...], source: Source) -> dict[str, Any]:
    """What all parts read; a later one wins, key by key, and size by size of a block."""
    found: dict[str, Any] = {}
    for part in parts:
        read = part(source)
        for key in ("blocks", "other_params"):
            if key in read:
                old = found.get(key, {})
                read = {**read, key: {**old, **{name: _over(old.get(name), more) for name, more in read[key].items()}}}
        found |= read
    return found


def _over(old: Any, more: Any) -> Any:
    return {**old, **more} if isinstance(old, dict) and isinstance(more, dict) else more
