"""The shape of a plan, or of many at once: its case, what ranks hold, and how far its groups reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.costs.case import Case, case
from compiler.costs.comm.links import Reach, reach
from compiler.costs.work.params import Counts, Totals, counts, totals
from compiler.frozen import dataclass
from compiler.world import World


@dataclass(frozen=True)
class Shape:
    """What every projection reads. `whole`: parameters of the model; `held`: those of a rank, by stage; `reaches`: of each kind of
    groups that carries traffic.
    """

    case: Case
    whole: Totals
    held: Counts
    reaches: Mapping[str, Reach]

    def at(self, **changes: Any) -> Shape:
        """The same ranks with another batch or other lengths, keys of a workload."""
        return replace(self, case=replace(self.case, workload=replace(self.case.workload, **changes)))

    def apart(self) -> Shape:
        """The virtual stages as stages of their own, where those of a rank are not alike."""
        this = self.case
        ones = np.ones_like(this.vpp)
        these = replace(this, stages=this.chunks or this.stages, chunks=None, pp=this.pp * this.vpp, vpp=ones)
        return replace(self, case=these, held=counts(these, self.whole))


def shape(world: World) -> Shape:
    """Of one plan."""
    this = case(world)
    whole = totals(this.model)
    return Shape(this, whole, counts(this, whole), {kind: reach(world, kind) for kind in kinds(this)})


def kinds(case: Case) -> list[str]:
    """The kinds of groups that any flow of this case runs on."""
    found = ["tp", "cp", "pp"] + ["ep", "etp"] * case.model.moe
    if case.workload.train:
        found += ["dp_cp" if (case.cp > 1).any() else "dp"] + ["edp"] * case.model.moe
    return found
