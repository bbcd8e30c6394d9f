"""Frozen dataclasses that a short command can afford.

The standard decorator writes the text of six functions for each class and compiles them one by one: with some 170 classes a
sixth of a plan's compile. Here one is compiled, `__init__`; the others are the same few lines for every class. What a class
offers is the same: `fields`, `replace`, `asdict`, matching, copies, and a FrozenInstanceError for whoever assigns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError
from operator import attrgetter
from typing import TYPE_CHECKING, Any

Names = dict[str, Any]
"""What the text of an `__init__` refers to: defaults and factories of fields, by names that no field has."""


def _frozen(cls: Any, *, eq: bool, shown: bool) -> Any:
    fields = dataclasses.fields(cls)
    methods: Names = {"__init__": _init(cls, fields), "__setattr__": _refuse_set, "__delattr__": _refuse_delete}
    if eq:
        methods |= _comparisons([field.name for field in fields if field.compare])
    if shown:
        methods["__repr__"] = _repr([field.name for field in fields if field.repr])
    for name, method in methods.items():
        if cls.__dict__.get(name) is None:
            setattr(cls, name, method)
    cls.__dataclass_params__.frozen = True  # what a standard class that inherits from this one looks for
    return cls


def _init(cls: Any, fields: Sequence[Field[Any]]) -> Any:
    """Values go straight into the instance's dictionary, as assigning is refused; a factory is called for each instance."""
    names: Names = {"_MISSING": MISSING} | {f"_new_{field.name}": field.default_factory for field in fields}
    first = [_argument(field, names) for field in fields if field.init and not field.kw_only]
    if sorted(first, key=lambda one: "=" in one) != first:
        raise TypeError(f"{cls.__qualname__}: a field without a default follows one that has a default")
    last = [_argument(field, names) for field in fields if field.init and field.kw_only]
    lines = [
        "_values = self.__dict__",
        *(f"_values[{field.name!r}] = {_value(field)}" for field in fields if _kept(field)),
    ]
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    head = ", ".join(["self", *first, *(["*", *last] if last else [])])
    exec(f"def __init__({head}):\n " + "\n ".join(lines), names)  # noqa: S102 - as the standard decorator does
    init = names["__init__"]
    init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    init.__annotations__ = {field.name: field.type for field in fields if field.init} | {"return": None}
    return init


def _kept(field: Field[Any]) -> bool:
    return field.init or field.default_factory is not MISSING


def _argument(field: Field[Any], names: Names) -> str:
    if field.default_factory is not MISSING:
        return f"{field.name}=_MISSING"
    if field.default is MISSING:
        return field.name
    names[f"_default_{field.name}"] = field.default
    return f"{field.name}=_default_{field.name}"


def _value(field: Field[Any]) -> str:
    if field.default_factory is MISSING:
        return field.name
    new = f"_new_{field.name}()"
    return f"{new} if {field.name} is _MISSING else {field.name}" if field.init else new


def _comparisons(compared: Sequence[str]) -> Names:
    values: Callable[[Any], Any] = attrgetter(*compared) if len(compared) > 1 else _few(compared)

    def equal(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": equal, "__hash__": hashed}


def _few(compared: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """A tuple, also of one value or none."""
    return lambda self: tuple(getattr(self, name) for name in compared)


def _repr(shown: Sequence[str]) -> Callable[[Any], str]:
    return lambda self: f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def _refuse_set(_: Any, name: str, __: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(_: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414, TID251 - exported, and known by heart to a type checker
else:

    def dataclass(*, frozen: bool, eq: bool = True, repr: bool = True, kw_only: bool = False) -> Callable[[Any], Any]:  # noqa: A002 - the standard decorator's names
        """The standard decorator with `frozen=True`. Raises TypeError for fields in an order that it refuses too."""
        if not frozen:
            raise TypeError("write frozen=True, or take the standard dataclass")

        def made(cls: Any) -> Any:
            # the standard decorator asks of a class below a frozen one to be frozen itself
            inherits = any(map(dataclasses.is_dataclass, cls.__mro__[1:]))
            standard = dataclasses.dataclass(init=False, eq=False, repr=False, kw_only=kw_only, frozen=inherits)  # noqa: TID251 - as above
            return _frozen(standard(cls), eq=eq, shown=repr)

        return made
