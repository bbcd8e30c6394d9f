"""Packages that a framework imports and that have no say in what it resolves: imports of them give objects that do nothing.

For a process of its own, which runs a framework's whole configuration without its hundred dependencies.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class Nothing(type):
    """Classes that are whatever is asked of them: a base, a decorator, a type of a field, an object."""

    def __getattr__(cls, name: str) -> Any:
        return nothing(f"{cls.__name__}.{name}", name)

    def __or__(cls, other: object) -> Any:
        return cls

    def __ror__(cls, other: object) -> Any:
        return cls

    def __getitem__(cls, key: object) -> Any:
        return cls

    def __iter__(cls) -> Iterator[Any]:
        return iter(())


def nothing(title: str, name: str) -> Any:
    """Raises AttributeError for what Python itself looks for."""
    if name.startswith("__"):
        raise AttributeError(name)
    return Nothing(title, (_Object,), {})


class _Object:
    """What such a class makes; called, it gives its argument back, as a decorator does."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __init_subclass__(cls, **_: object) -> None: ...

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> Any:
        from pydantic_core import core_schema

        return core_schema.any_schema()

    def __call__(self, given: object = None, *_: object, **__: object) -> Any:
        return given

    def __getattr__(self, name: str) -> Any:
        return nothing(f"{type(self).__name__}.{name}", name)


class StandIn(MetaPathFinder, Loader):
    """Stands in for those of `packages` that are not installed, and for compiled modules of the framework itself, which `modules` names."""

    def __init__(self, packages: Collection[str], modules: Collection[str] = ()) -> None:
        self.packages = frozenset(name for name in packages if find_spec(name) is None)
        self.modules = frozenset(modules)
        sys.meta_path.append(self)

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        ours = fullname in self.modules or fullname.split(".", maxsplit=1)[0] in self.packages
        return ModuleSpec(fullname, self, is_package=True) if ours else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        made = ModuleType(spec.name)
        vars(made).update(
            __getattr__=lambda name: nothing(f"{spec.name}.{name}", name),
            __path__=[],
            __version__="0",
            __file__=f"<{spec.name}>",
        )
        return made

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""
