"""What an option takes, as a line of a parser's table says it behind the name: `int >=1`, `float >0 <=1`, `many in a b`,
`int in auto` (a number, or that word), `whole` (3e2 too), `int letters` (8k too), `loose in a_b` (however it is spelt: `A-B` too),
`switch`, `json`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence

from compiler.frameworks import json_text
from compiler.frozen import dataclass
from compiler.nearest import near
from compiler.words import number

_BOUNDS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    ">": (operator.gt, "above"),
    ">=": (operator.ge, "of at least"),
    "<": (operator.lt, "below"),
    "<=": (operator.le, "of at most"),
    "!=": (operator.ne, "other than"),
}
_NONE = ("", "none", "null")
_NAMES = {
    "int": "a whole number",
    "whole": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "json": "a mapping in JSON",
}
_TYPES = (*_NAMES, "switch", "text")
_TRUTHS = ("true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n")


@dataclass(frozen=True)
class Kind:
    """`type` is one of _TYPES, or empty where nothing is known: `int` is written as Python writes it, and `whole` as 3e2 too. Texts are
    among `choices` where there are some, and numbers may be. With `letters` a number may have one of thousands behind it, 8k.
    """

    type: str = ""
    many: bool = False
    bounds: tuple[tuple[str, float], ...] = ()
    choices: tuple[str, ...] = ()
    loose: bool = False
    letters: bool = False

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
        if value in self.choices or (self.loose and _bare(value) in map(_bare, self.choices)):
            return True
        if self.type == "text":
            return not self.choices
        if self.type == "bool":
            return value.lower() in _TRUTHS
        if self.type == "json":
            return json_text.mapping(value, letters=self.letters) is not None
        found = self._number(value)
        return found is not None and all(_BOUNDS[sign][0](found, bound) for sign, bound in self.bounds)

    def _number(self, text: str) -> float | None:
        """None for what is none; a number without end is one where a bound names it."""
        plain = json_text.counted(text) if self.letters else text
        if self.type == "int" and not re.fullmatch(r"\s*[+-]?[0-9]+(_[0-9]+)*\s*", plain):
            return None
        try:
            found = float(plain)
        except ValueError:
            return None
        if not math.isfinite(found):
            return found if ("<=", found) in self.bounds else None
        return found if self.type == "float" or found.is_integer() else None

    @property
    def wanted(self) -> str:
        limits = " and ".join(
            f"{_BOUNDS[sign][1]} {number(bound)}" for sign, bound in self.bounds if math.isfinite(bound)
        )
        other = " ".join(filter(None, (_NAMES.get(self.type, "a value"), limits)))
        listed = [*self.choices, *([other] if self.type in _NAMES or not self.choices else [])]
        return " or ".join(filter(None, (", ".join(listed[:-1]), listed[-1])))

    def instead(self, value: str) -> str:
        """A value that it takes and that may be meant; empty where nobody can say."""
        if self.choices and self.type == "text":
            alike = {_bare(choice) if self.loose else choice: choice for choice in self.choices}
            return alike.get((near(_bare(value) if self.loose else value, list(alike), 1) or [""])[0], "")
        least = next((bound for sign, bound in self.bounds if sign == ">="), None)
        below = least is not None and re.fullmatch(r"-?[0-9]+", value) and int(value) < least
        return f"{least:g}" if below else ""


def kind(text: str) -> Kind:
    """Read what stands behind an option's name."""
    head, _, choices = f" {text}".partition(" in ")
    words = head.split()
    bounds = tuple((found[1], float(found[2])) for word in words if (found := re.fullmatch(r"([<>]=?|!=)(\S+)", word)))
    named = next((word for word in words if word in _TYPES), "text" if choices else "")
    return Kind(named, "many" in words, bounds, tuple(choices.split()), "loose" in words, "letters" in words)


def _bare(value: str) -> str:
    return value.lower().replace("-", "_")
