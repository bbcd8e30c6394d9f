"""Rankplan: compile a cluster, a model and parallel degrees into everything a launch needs.

Importing this package costs nothing; `compile_plan`, `search`, `Plan` and the errors load when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compiler.api import compile_plan, search
    from compiler.errors import CompilerError, ConfigError, InvariantError, WriteError
    from compiler.plan import Plan

__version__ = "0.1.0"
__all__ = [
    "CompilerError",
    "ConfigError",
    "InvariantError",
    "Plan",
    "WriteError",
    "__version__",
    "compile_plan",
    "search",
]

_HOMES = {
    "compile_plan": "compiler.api",
    "search": "compiler.api",
    "Plan": "compiler.plan",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'compiler' has no attribute '{name}'")
    return getattr(import_module(_HOMES.get(name, "compiler.errors")), name)
