"""Which axes each kind of group runs over, and the lazily expanded table of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from compiler.frozen import dataclass
from compiler.glossary import AxisName, Kind
from compiler.layout.grid import Grid, GroupKind, Ranks

ATTENTION_KINDS: Mapping[str, tuple[str, ...]] = {
    Kind.TP: (AxisName.TP,),
    Kind.CP: (AxisName.CP,),
    Kind.DP: (AxisName.DP,),
    Kind.DP_CP: (AxisName.DP, AxisName.CP),
    Kind.PP: (AxisName.PP,),
    Kind.TP_PP: (AxisName.TP, AxisName.PP),
    Kind.TP_CP: (AxisName.TP, AxisName.CP),
}
EXPERT_KINDS: Mapping[str, tuple[str, ...]] = {
    Kind.EP: (AxisName.EP,),
    Kind.ETP: (AxisName.ETP,),
    Kind.ETP_EP: (AxisName.ETP, AxisName.EP),
    Kind.ETP_EP_PP: (AxisName.ETP, AxisName.EP, AxisName.PP),
    Kind.EDP: (AxisName.EDP,),
}


def standard(attention: Grid, expert: Grid | None) -> dict[str, GroupKind]:
    """The plan's own kinds in Megatron's order; a model without experts (`expert` None) has none on that grid."""
    found = {name: attention.kind(axes) for name, axes in ATTENTION_KINDS.items()}
    if expert is not None:
        found |= {name: expert.kind(axes) for name, axes in EXPERT_KINDS.items()}
    return found


@dataclass(frozen=True)
class Groups(Mapping[str, Ranks]):
    """Kind -> ranks, shape [groups, size]; a kind is expanded when it is first asked for."""

    kinds: Mapping[str, GroupKind]
    _tables: dict[str, Ranks] = field(default_factory=dict, init=False, compare=False, repr=False)

    def size(self, kind: str) -> int:
        """Ranks in each group of a kind."""
        return self.kinds[kind].size

    def holds(self, kind: str, rank: int) -> bool:
        """Whether `rank` is in a group of a kind; a framework's own kind may leave ranks out."""
        return bool((self[kind] == rank).any())

    def of_rank(self, kind: str, rank: int) -> tuple[int, Ranks]:
        """The index of the group of `kind` that holds `rank`, and its ranks, shape [size]."""
        table = self[kind]
        index = int((table == rank).any(axis=1).argmax())
        return index, table[index]

    def __getitem__(self, kind: str) -> Ranks:
        if kind not in self._tables:
            table = self.kinds[kind].table()
            table.setflags(write=False)
            self._tables[kind] = table
        return self._tables[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self.kinds)

    def __len__(self) -> int:
        return len(self.kinds)
