"""No framework: the plan's own axes, in the order the user writes."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.layout.grid import Grid, row_major
from compiler.specs.degrees import Degrees


class NoFramework:
    """Both grids follow `parallel.order`, as Megatron's do: cp is no axis of the expert grid, ep none of the attention grid."""

    def grids(self, degrees: Degrees, order: str) -> tuple[Grid, Grid]:
        tokens = order.split("-")
        attention = {"tp": degrees.tp, "cp": degrees.cp, "dp": degrees.adp, "pp": degrees.pp}
        expert = {
            "tp": ("etp", degrees.etp),
            "ep": ("ep", degrees.ep),
            "dp": ("edp", degrees.edp),
            "pp": ("pp", degrees.pp),
        }
        return (
            row_major((token, attention[token]) for token in tokens if token in attention),
            row_major(expert[token] for token in tokens if token in expert),
        )

    def uneven_stages(self, layers: int, parts: int) -> Sequence[int] | None:
        return None

    def padded_vocab_size(self, vocab_size: int, tp: int) -> int:
        return -(-vocab_size // tp) * tp

    def program(self) -> Sequence[str] | None:
        return None

    def unit(self) -> str:
        return "rank"


ADAPTER = NoFramework()
