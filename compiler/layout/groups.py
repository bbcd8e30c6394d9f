"""Which axes each kind of group runs over, and the lazily expanded table of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from compiler.layout.grid import Grid, Ranks

ATTENTION_KINDS: Mapping[str, tuple[str, ...]] = {
    "tp": ("tp",),
    "cp": ("cp",),
    "dp": ("dp",),
    "dp_cp": ("dp", "cp"),
    "pp": ("pp",),
    "tp_pp": ("tp", "pp"),
    "tp_cp": ("tp", "cp"),
}
EXPERT_KINDS: Mapping[str, tuple[str, ...]] = {
    "ep": ("ep",),
    "etp": ("etp",),
    "etp_ep": ("etp", "ep"),
    "etp_ep_pp": ("etp", "ep", "pp"),
    "edp": ("edp",),
}


@dataclass(frozen=True)
class Groups(Mapping[str, Ranks]):
    """kind -> ranks, shape [groups, size]; a kind is expanded when it is first asked for.

    `expert` is None for a model without experts, which has no groups on that grid.
    """

    attention: Grid
    expert: Grid | None
    _tables: dict[str, Ranks] = field(default_factory=dict, init=False, compare=False, repr=False)

    def source(self, kind: str) -> tuple[Grid, tuple[str, ...]]:
        """The grid of a kind and the axes it runs over. Raises KeyError for an unknown kind."""
        if kind in ATTENTION_KINDS:
            return self.attention, ATTENTION_KINDS[kind]
        if self.expert is None:
            raise KeyError(kind)
        return self.expert, EXPERT_KINDS[kind]

    def size(self, kind: str) -> int:
        """Ranks in each group of a kind."""
        grid, axes = self.source(kind)
        found = 1
        for axis in axes:
            found *= grid.size(axis)
        return found

    def of_rank(self, kind: str, rank: int) -> tuple[int, Ranks]:
        """The index of the group of `kind` that holds `rank`, and its ranks, shape [size]."""
        table = self[kind]
        index = int((table == rank).any(axis=1).argmax())
        return index, table[index]

    def __getitem__(self, kind: str) -> Ranks:
        if kind not in self._tables:
            grid, axes = self.source(kind)
            table = grid.groups(axes)
            table.setflags(write=False)
            self._tables[kind] = table
        return self._tables[kind]

    def __iter__(self) -> Iterator[str]:
        yield from ATTENTION_KINDS
        if self.expert is not None:
            yield from EXPERT_KINDS

    def __len__(self) -> int:
        return len(list(iter(self)))
