"""What an option takes, as a line of a parser's table says it behind the name: `int >=1`, `float >0 <=1`, `many in a b`,
`loose in a_b` (however it is spelt: `A-B` too), `switch`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence

from compiler.frozen import dataclass
from compiler.nearest import near
from compiler.words import number

_BOUNDS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    ">": (operator.gt, "above"),
    ">=": (operator.ge, "of at least"),
    "<": (operator.lt, "below"),
    "<=": (operator.le, "of at most"),
}
_NONE = ("", "none", "null")
_TYPES = ("switch", "text", "int", "float", "bool")
_NAMES = {"int": "a whole number", "float": "a number", "bool": "true or false"}
_TRUTHS = ("true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n")


@dataclass(frozen=True)
class Kind:
    """`type` is one of _TYPES, or empty where nothing is known; a value is one of `choices` where there are some."""

    type: str = ""
    many: bool = False
    bounds: tuple[tuple[str, float], ...] = ()
    choices: tuple[str, ...] = ()
    loose: bool = False

    def wrong(self, values: Sequence[str], *, joined: bool) -> str | None:
        """What is wanted where values are none of these; `joined` says that the first stands behind an equals sign."""
        if self.type == "switch":
            return "no value" if joined else None
        if not self.type:
            return None
        if not values:
            return self.wanted
        return self.wanted if any(not self._takes(value) for value in (values if self.many else values[:1])) else None

    def _takes(self, value: str) -> bool:
        if value.lower() in _NONE:
            return True
        if self.choices:
            return value in self.choices or (self.loose and _bare(value) in map(_bare, self.choices))
        if self.type in ("text", "bool"):
            return self.type == "text" or value.lower() in _TRUTHS
        try:
            found = float(value)
        except ValueError:
            return False
        whole = self.type == "float" or found.is_integer()
        return whole and all(_BOUNDS[sign][0](found, bound) for sign, bound in self.bounds)

    @property
    def wanted(self) -> str:
        if self.choices:
            return " or ".join(filter(None, (", ".join(self.choices[:-1]), self.choices[-1])))
        limits = " and ".join(f"{_BOUNDS[sign][1]} {number(bound)}" for sign, bound in self.bounds)
        return " ".join(filter(None, (_NAMES.get(self.type, "a value"), limits)))

    def instead(self, value: str) -> str:
        """A value that it takes and that may be meant; empty where nobody can say."""
        if self.choices:
            alike = {_bare(choice) if self.loose else choice: choice for choice in self.choices}
            return alike.get((near(_bare(value) if self.loose else value, list(alike), 1) or [""])[0], "")
        least = next((bound for sign, bound in self.bounds if sign == ">="), None)
        below = least is not None and re.fullmatch(r"-?[0-9]+", value) and int(value) < least
        return f"{least:g}" if below else ""


def kind(text: str) -> Kind:
    """Read what stands behind an option's name."""
    head, _, choices = f" {text}".partition(" in ")
    words = head.split()
    bounds = tuple((found[1], float(found[2])) for word in words if (found := re.fullmatch(r"([<>]=?)(\S+)", word)))
    named = next((word for word in words if word in _TYPES), "text" if choices else "")
    return Kind(named, "many" in words, bounds, tuple(choices.split()), "loose" in words)


def _bare(value: str) -> str:
    return value.lower().replace("-", "_")
