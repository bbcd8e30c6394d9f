"""Forms of stored weights, and which matrices of a model have them: what every method of quantisation is read into.

Scales and zero points are counted; those of a whole channel or matrix are too few to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compiler.config.modules import Module, Patterns
from compiler.frozen import dataclass
from compiler.specs.limits import WIDTH
from compiler.specs.weights import Stored

Given = Mapping[str, Any]


WIDEST = 64
"""Bits of a weight at most."""


class UnknownSchemeError(Exception):
    """A value that a method may have and this reader does not know; its text names it."""


@dataclass(frozen=True)
class Recipe:
    """Forms by pattern, the first that fits, else `default` for every matrix but tables; `ignored` are not quantised."""

    default: Stored | None = None
    targets: tuple[tuple[Patterns, Stored | None], ...] = ()
    ignored: Patterns = Patterns(())
    kinds: tuple[str, ...] = ("attention", "mlp", "shared_experts", "experts")

    def form(self, module: Module) -> Stored | None:
        if self.ignored.pick(module):
            return None
        named = [form for patterns, form in self.targets if patterns.pick(module)]
        if named:
            return named[0]
        return self.default if module.kind in self.kinds else None


def integer(bits: float, group: int = 0, extra_bits: float = 16, activations: str | None = None) -> Stored:
    """Integers with a scale, and maybe a zero point, of `extra_bits` together for each `group`; 0 or less: one a channel.

    Raises ValueError for a group that is no whole number.
    """
    if type(group) is not int:
        raise ValueError(f"a group of {group!r}")
    share = extra_bits / group if group > 0 else 0
    return Stored(f"int{bits:g}", bits + share, activations, [1, group] if group > 0 else None)


def block(rows: int, columns: int, scale_bits: float = 32) -> Stored:
    """FP8 with a scale for each block. Raises ValueError where it has no rows or columns."""
    if not (type(rows) is type(columns) is int and min(rows, columns) > 0):
        raise ValueError(f"a block of {rows} x {columns}")
    return Stored("fp8", 8 + scale_bits / (rows * columns), "fp8", [rows, columns])


def grouped(given: Given, *keys: str, usual: int = 0) -> int:
    """Weights that share a scale, by the first of those keys that is said; 0, which is written as -1, for all of a channel.

    Raises UnknownSchemeError for what is no size of a group.
    """
    key = next((key for key in keys if given.get(key) is not None), None)
    size = usual if key is None else given[key]
    if type(size) is not int or not (size == -1 or bool(usual) <= size <= WIDTH):
        raise UnknownSchemeError(f"{key}={size!r}")
    return max(size, 0)


def bits_of(given: Given, *keys: str, usual: int | None = None) -> int:
    """Bits of a weight, by the first of those keys that is said. Raises UnknownSchemeError for what is no number of bits."""
    found = next((key for key in keys if given.get(key) is not None), None)
    bits = usual if found is None else given[found]
    if type(bits) is not int or not 1 <= bits <= WIDEST:
        raise UnknownSchemeError(f"{found or keys[0]}={bits!r}")
    return bits


FP8, FP8_WEIGHTS = Stored("fp8", 8.0, "fp8"), Stored("fp8", 8.0)
INT8, INT8_WEIGHTS = integer(8, activations="int8"), integer(8)
MXFP8 = Stored("mxfp8", 8.25, "mxfp8", [1, 32])
MXFP4 = Stored("mxfp4", 4.25, None, [1, 32])
NVFP4, NVFP4_WEIGHTS = Stored("nvfp4", 4.5, "nvfp4", [1, 16]), Stored("nvfp4", 4.5, None, [1, 16])
FORMATS = {"fp8": FP8, "mxfp8": MXFP8, "mxfp4": MXFP4, "nvfp4": NVFP4}
BLOCK = block(128, 128)


def patterns(*lists: Iterable[str] | None) -> Patterns:
    return Patterns(tuple(str(text) for texts in lists for text in texts or ()))


def skipped(given: Given) -> Patterns:
    """Modules that stay as they are, by every name of that list."""
    keys = ("ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "exclude", "skip_modules")
    return patterns(*(given.get(key) for key in (*keys, "llm_int8_skip_modules")))
