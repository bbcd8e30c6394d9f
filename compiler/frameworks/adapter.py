"""What the compiler asks of a framework: how it orders ranks, deals layers out and pads the vocabulary."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Protocol

from compiler.errors import ConfigError
from compiler.layout.grid import Grid
from compiler.specs.degrees import Degrees


class Adapter(Protocol):
    """A framework's rules; each `frameworks/<name>/` package holds one as ADAPTER."""

    def grids(self, degrees: Degrees, order: str) -> tuple[Grid, Grid]:
        """The attention grid and the expert grid."""

    def uneven_stages(self, layers: int, parts: int) -> Sequence[int] | None:
        """Layers of each virtual stage where `parts` does not divide them; None where the framework has no rule."""

    def padded_vocab_size(self, vocab_size: int, tp: int) -> int:
        """Rows of the embedding table that the framework really makes."""

    def program(self) -> Sequence[str] | None:
        """The argument list that runs where `launch.command` is not given; None for the self-check alone."""

    def unit(self) -> str:
        """What the launcher starts: a process a `rank` or a `node`."""


def names() -> list[str]:
    """Every framework there is, found by its package."""
    package = importlib.import_module("compiler.frameworks")
    return sorted(item.name for item in pkgutil.iter_modules(package.__path__) if item.ispkg)


def adapter(name: str) -> Adapter:
    """Load a framework's adapter. Raises ConfigError for an unknown name."""
    if name not in names():
        raise ConfigError.of(f"framework.name={name} is not a known framework", f"write one of {', '.join(names())}")
    found: Adapter = importlib.import_module(f"compiler.frameworks.{name}").ADAPTER
    return found
