"""Many plans as arrays: what each chooses, as numbers of few values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.frozen import dataclass

Numbers = NDArray[np.int32]
Index = NDArray[np.intp]

TABLE = 1 << 22
"""Kinds that are counted in a table; more of them are sorted."""


@dataclass(frozen=True)
class Plans:
    """`chosen[key]` has a number for each plan, an index into `values[key]` where there are such, else the value itself."""

    chosen: Mapping[str, Numbers]
    values: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.chosen.values())))

    def take(self, index: Any) -> Plans:
        """Some of them: indices, or a mask."""
        return Plans({key: numbers[index] for key, numbers in self.chosen.items()}, self.values)

    def times(self, key: str, values: Sequence[Any]) -> Plans:
        """Each of them with each value of a further key, which runs fastest."""
        count = len(values)
        chosen = {name: np.repeat(numbers, count) for name, numbers in self.chosen.items()}
        chosen[key] = np.tile(np.arange(count, dtype=np.int32), len(self))
        return Plans(chosen, {**self.values, key: values})

    def each(self, key: str, numbers: Sequence[Sequence[int]]) -> Plans:
        """Each of them with each of its own numbers of a further key."""
        counts = [len(own) for own in numbers]
        chosen = {name: np.repeat(old, counts) for name, old in self.chosen.items()}
        chosen[key] = np.array([number for own in numbers for number in own], dtype=np.int32)
        return Plans(chosen, self.values)

    def value(self, key: str, at: int) -> Any:
        number = int(self.chosen[key][at])
        return self.values[key][number] if key in self.values else number

    def column(self, key: str) -> Numbers:
        """The numbers of a key, or of what follows from several."""
        return DERIVED[key](self.chosen) if key in DERIVED else self.chosen[key]

    def based(self, keys: Iterable[str]) -> Iterator[str]:
        """Those that have a column."""
        return (key for key in keys if key in DERIVED or key in self.chosen)

    def kinds(self, index: Index, keys: Sequence[str]) -> Iterator[Index]:
        """Those of `index` that agree on all keys, kind by kind in the order of their values."""
        kind, first = np.zeros(len(index), dtype=np.int64), 1
        for key in keys:
            numbers = self.column(key)[index].astype(np.int64)
            least, most = int(numbers.min()), int(numbers.max())
            if most > least:
                kind, first = kind * (most - least + 1) + (numbers - least), first * (most - least + 1)
            if first > TABLE:
                kind = np.unique(kind, return_inverse=True)[1].ravel()
                first = int(kind.max()) + 1
        if first == 1:
            yield index
            return
        kind = kind.astype(np.uint16) if first <= np.iinfo(np.uint16).max else kind  # such small ones are sorted faster
        order = np.argsort(kind, kind="stable")
        yield from np.split(index[order], np.flatnonzero(np.diff(kind[order])) + 1)


def _dp(chosen: Mapping[str, Numbers]) -> Numbers:
    """0 where ep does not divide adp."""
    adp, ep = chosen["adp"], chosen["ep"]
    return np.where(adp % ep == 0, adp // ep, 0).astype(np.int32)


DERIVED = {
    "world_size": lambda chosen: chosen["tp"] * chosen["cp"] * chosen["adp"] * chosen["pp"],
    "edp": lambda chosen: chosen["tp"] * chosen["cp"] * chosen["adp"] // (chosen["etp"] * chosen["ep"]),
    "factors": lambda chosen: (
        chosen["tp"] * chosen["cp"] * chosen["adp"] % (chosen["etp"] * chosen["ep"]) == 0
    ).astype(np.int32),
    "dp": _dp,
}
"""What follows from degrees."""
