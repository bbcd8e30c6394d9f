"""A configuration that can be pointed at one plan after another, and keeps which of their choices a rule reads.

A rule's answer follows from what it reads, so plans that agree on that have one answer: it is asked once for each kind of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from compiler.specs.config import Config
from compiler.specs.degrees import Degrees, resolve

DEGREES = ("tp", "cp", "pp", "vpp", "ep", "etp", "adp")
DERIVED: Mapping[str, tuple[str, ...]] = {
    "world_size": ("tp", "cp", "pp", "adp"),
    "edp": ("tp", "cp", "adp", "ep", "etp"),
    "factors": ("tp", "cp", "adp", "ep", "etp"),
    "dp": ("ep", "adp"),
}
"""What follows from degrees -> those that it follows from. Plans that differ in these may agree on it."""

STAGES = ("pp", "vpp", "parallel.stages")
"""What the layers of each stage follow from."""


class Unchosen(Exception):  # noqa: N818 - no mistake: the rule is asked again later
    """A rule reads what is not chosen yet."""


class Watched:
    """`config` reads as that of the plan which `point` was called with last; `read` are the keys that were read since."""

    def __init__(self, base: Config, keys: Iterable[str]) -> None:
        """`keys`: degrees, and dotted paths of the configuration."""
        self.read: dict[str, None] = {}
        self.unchosen: frozenset[str] = frozenset()
        self._places: dict[str, tuple[dict[str, Any], str]] = {}
        self._degrees = self._of_degrees(base.degrees)
        self._of_plan: dict[str, Any] = object.__getattribute__(self._degrees, "__dict__")
        paths = {key if "." in key else f"parallel.{key}": key for key in keys}
        paths |= {f"parallel.{name}": name for name in (*DEGREES, "dp")}
        self.config: Config = self._node(base, "", paths)
        self._parallel = self.config.parallel

    def point(self, values: Mapping[str, Any]) -> None:
        """At a plan: a value for each key, and `stages`."""
        self.read.clear()
        for key, (fields, name) in self._places.items():
            fields[name] = values.get(key)
        for name in DEGREES:
            self._of_plan[name] = values.get(name, 1)

    def _note(self, key: str) -> None:
        """A key was read."""
        own = DERIVED.get(key, STAGES if key == "parallel.stages" else (key,))
        if self.unchosen and not self.unchosen.isdisjoint(own):
            raise Unchosen(key)
        self.read.update(dict.fromkeys(own if key == "parallel.stages" else (key,)))

    def _seen(self, config: Config) -> Degrees:
        """The degrees of a configuration: the plan's, but where a rule has written others."""
        own = object.__getattribute__(config, "parallel")
        return self._degrees if own is self._parallel else resolve(own, self._degrees.moe)

    def _of_degrees(self, degrees: Degrees) -> Any:
        note = self._note

        class Seen(Degrees):
            def __getattribute__(self, name: str) -> Any:
                if name in DEGREES:
                    note(name)
                elif name in DERIVED:
                    note(name)
                    return getattr(Degrees(**object.__getattribute__(self, "__dict__")), name)
                elif name in ("__dict__", "name", "to_dict"):
                    for each in DEGREES:
                        note(each)
                return object.__getattribute__(self, name)

        return Seen(**{name: getattr(degrees, name) for name in DEGREES}, moe=degrees.moe)

    def _node(self, base: Any, prefix: str, paths: Mapping[str, str]) -> Any:
        """`base` with every key below it watched."""
        own = {path.removeprefix(prefix): key for path, key in paths.items() if path.startswith(prefix)}
        leaves = {path: key for path, key in own.items() if "." not in path}
        below = dict.fromkeys(path.partition(".")[0] for path in own if "." in path)
        kept = replace(base, **{name: self._node(getattr(base, name), f"{prefix}{name}.", paths) for name in below})
        found = _subclass(type(base), leaves, self._note, self._seen)(**vars(kept))
        fields = object.__getattribute__(found, "__dict__")
        self._places |= {key: (fields, name) for name, key in leaves.items() if key != "dp"}
        return found


def _subclass(
    kind: type[Any], leaves: Mapping[str, str], note: Callable[[str], None], degrees: Callable[[Config], Degrees]
) -> type[Any]:
    """A dataclass whose fields `leaves` are noted by their keys when they are read."""

    def read(self: Any, name: str) -> Any:
        if name in leaves:
            if leaves[name] != "dp":  # always null, as `adp` is written
                note(leaves[name])
        elif name == "__dict__":
            for key in leaves.values():
                if key != "dp":
                    note(key)
        return object.__getattribute__(self, name)

    members: dict[str, Any] = {"__getattribute__": read}
    if kind is Config:
        members["degrees"] = property(degrees)
    return type("Watched", (kind,), members)
