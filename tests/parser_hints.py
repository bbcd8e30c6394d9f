"""What an annotation in a framework's source lets an option be, read without importing it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
NAMED = {"NonNegativeInt": ("int", ">=0"), "PositiveInt": ("int", ">0"), "NonNegativeFloat": ("float", ">=0"), "PositiveFloat": ("float", ">0")}  # fmt: skip
"""pydantic's own names of numbers in a range."""
MANY = ("list", "List", "tuple", "Tuple", "set", "Set", "Sequence")


@dataclass(frozen=True)
class Hint:
    """Names of plain types, values of literals and enumerations, what a list holds (None: no list), keywords of a Field."""

    types: frozenset[str] = frozenset()
    choices: tuple[str, ...] = ()
    each: Hint | None = None
    bounds: tuple[str, ...] = ()

    def joined(self, other: Hint) -> Hint:
        choices = (*self.choices, *other.choices)
        return Hint(self.types | other.types, choices, self.each or other.each, self.bounds + other.bounds)


@dataclass(frozen=True)
class Names:
    """What names of a module stand for: other annotations, lists of values, classes of enumerations."""

    aliases: Mapping[str, ast.expr] = field(default_factory=dict)
    enums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def hint(self, node: ast.expr, depth: int = 0) -> Hint:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and depth < 8:
                return self.hint(ast.parse(node.value, mode="eval").body, depth + 1)
            return Hint(frozenset({"None"}))
        if isinstance(node, ast.BinOp):
            return self.hint(node.left, depth + 1).joined(self.hint(node.right, depth + 1))
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in self.enums:
            return Hint(choices=self.enums[name])
        if name in self.aliases and depth < 8:
            return self.hint(self.aliases[name], depth + 1)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, depth + 1)
        plain, *limits = NAMED.get(name, (name or "other",))
        return Hint(frozenset({plain}), bounds=tuple(limits))

    def _subscript(self, node: ast.Subscript, depth: int) -> Hint:
        name = ast.unparse(node.value).split(".")[-1]
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Literal":
            return Hint(choices=tuple(value for item in inner for value in self._literal(item, depth)))
        if name in ("Annotated", "A"):
            rest = tuple(bound for item in inner[1:] for bound in bounds(item))
            return self.hint(inner[0], depth).joined(Hint(bounds=rest))
        if name in MANY:
            return Hint(each=self.hint(inner[0], depth))
        if name in ("Optional", "Union"):
            found = Hint(frozenset({"None"})) if name == "Optional" else Hint()
            for item in inner:
                found = found.joined(self.hint(item, depth))
            return found
        return Hint(frozenset({"other"}))

    def _literal(self, item: ast.expr, depth: int) -> tuple[str, ...]:
        """A literal's value, or those of the literal that a name stands for."""
        return (str(item.value),) if isinstance(item, ast.Constant) else self.hint(item, depth).choices


def names(trees: Iterable[ast.Module]) -> Names:
    aliases: dict[str, ast.expr] = {}
    enums: dict[str, tuple[str, ...]] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        name = target.id if isinstance(target, ast.Name) else ""
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and name[:1].isupper() and node.value is not None:
            aliases.setdefault(name, node.value)
        if isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases):
            enums[node.name] = tuple(_members(node))
    return Names(aliases, enums)


def _members(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant):
            yield str(item.value.value)


def bounds(node: ast.expr | None) -> Iterator[str]:
    """`>=1` and the like of a call of pydantic's Field."""
    for keyword in node.keywords if isinstance(node, ast.Call) else ():
        if keyword.arg in BOUNDS and isinstance(keyword.value, (ast.Constant, ast.UnaryOp)):
            yield f"{BOUNDS[keyword.arg]}{ast.literal_eval(keyword.value):g}"


def words(hint: Hint, limits: Iterable[str] = ()) -> str:
    """A hint as a table says it; empty where anything may stand there."""
    if hint.each is not None:
        inner = words(hint.each)
        return f"many {inner}" if inner else ""
    plain = hint.types - {"None"}
    if hint.choices:
        sure = not plain and not any(" " in choice or not choice for choice in hint.choices)
        return "in " + " ".join(dict.fromkeys(hint.choices)) if sure else ""
    for name in ("float", "int"):
        if name in plain and plain <= {"float", "int"}:
            return " ".join((name, *hint.bounds, *limits))
    return ""


def loosened(kind: str) -> str:
    """Of a whole number that may be written 3e2 too, as YAML and JSON do."""
    return re.sub(r"^(many )?int\b", r"\1whole", kind)


def classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


def fields(node: ast.ClassDef | None) -> dict[str, ast.AnnAssign]:
    body = node.body if node else []
    return {
        item.target.id: item for item in body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
