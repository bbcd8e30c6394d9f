"""The rules of `tensorrt_llm/mapping.py` rank by rank, written from its description: nothing here knows of strides.

This is what a plan is held against where no wheel of TensorRT-LLM is at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from compiler.frozen import dataclass

Place = Mapping[str, int]
"""tp, cp, pp, moe_tp and moe_ep rank of a rank."""


@dataclass(frozen=True)
class Published:
    """`cp_fastest` since pull request 10350; experts are cut over all tp*cp ranks of a stage, as with Helix."""

    tp: int
    cp: int
    pp: int
    moe_tp: int
    moe_ep: int
    cp_fastest: bool
    partition: Sequence[int] | None

    name = "its published rules, not run: no wheel was given"

    @property
    def world_size(self) -> int:
        return self.tp * self.cp * self.pp

    def place(self, rank: int) -> Place:
        stage = rank % (self.tp * self.cp)
        tp, cp = (stage // self.cp, stage % self.cp) if self.cp_fastest else (stage % self.tp, stage // self.tp)
        return {
            "tp": tp,
            "cp": cp,
            "pp": rank // (self.tp * self.cp),
            "moe_tp": stage // self.moe_ep,
            "moe_ep": stage % self.moe_ep,
        }

    def groups(self, kind: str) -> list[list[int]]:
        """Stage by stage, and within a stage in the order of the first ranks; pp groups in that order too."""
        others = ("tp", "cp") if kind == "pp" else ("pp", {"tp": "cp", "cp": "tp"}.get(kind, _other_moe(kind)))
        return together(self.world_size, self.place, others)

    def layers(self, count: int) -> list[list[int]]:
        """Of each stage: as partitioned, else dealt out one by one as evenly as can be, in order."""
        sizes = self.partition or [len(range(stage, count, self.pp)) for stage in range(self.pp)]
        ids = iter(range(count))
        return [[next(ids) for _ in range(size)] for size in sizes]

    def experts(self, count: int) -> list[list[int]]:
        """Of each moe_ep rank: equal runs, whatever is left over dropped."""
        share = count // self.moe_ep
        return [list(range(count))[rank * share : (rank + 1) * share] for rank in range(self.moe_ep)]


def _other_moe(kind: str) -> str:
    return "moe_ep" if kind == "moe_tp" else "moe_tp"


def together(world_size: int, place: Callable[[int], Place], others: Sequence[str]) -> list[list[int]]:
    """Ranks that agree in all `others`, ascending, by their first ranks."""
    found: dict[tuple[int, ...], list[int]] = {}
    for rank in range(world_size):
        here = place(rank)
        found.setdefault(tuple(here[name] for name in others), []).append(rank)
    return list(found.values())


def plan_places(oracle: Callable[[int], Place], attention_dp: bool) -> Callable[[int], Place]:
    """The same in the plan's axes: with attention DP, tp ranks are ranks of dp."""

    def place(rank: int) -> Place:
        here = oracle(rank)
        tp, dp = (0, here["tp"]) if attention_dp else (here["tp"], 0)
        expert = {"etp": here["moe_tp"], "ep": here["moe_ep"], "edp": 0}
        return {"tp": tp, "dp": dp, "cp": here["cp"], "pp": here["pp"], **expert}

    return place


def plan_groups(
    world_size: int, place: Callable[[int], Place], kinds: Mapping[str, Sequence[str]], axes: Sequence[str]
) -> Iterator[tuple[str, list[list[int]]]]:
    """Groups of each kind that runs over some of `axes`."""
    for kind, masked in kinds.items():
        yield kind, together(world_size, place, [axis for axis in axes if axis not in masked])
