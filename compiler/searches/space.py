"""The space of a search: every factorisation of the cluster's GPUs into degrees, and what is tried beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from compiler.cluster.share import split as shared
from compiler.frozen import dataclass
from compiler.searches import splits
from compiler.searches.plans import Numbers, Plans
from compiler.searches.watched import DEGREES
from compiler.specs.config import Config

STAGES, INSTANCES, NODES, VPP = "parallel.stages", "framework.instances", "hardware.nodes", "parallel.vpp"

SPACE = "space"
"""Key of what is compared: frameworks, and servers together or apart."""

NODES_OF_AN_INSTANCE = 16
"""Of a server: beyond these an instance takes a part of the cluster that leaves no node over."""

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Space:
    """`config` with what is left open at its default; `fixed` degrees as written, `dp` among them; values of each varied key;
    `gpus`: the most that a plan takes; `spaces`: those that are compared, where there are several.
    """

    config: Config
    fixed: Sizes
    vary: Mapping[str, Sequence[Any]]
    gpus: int
    spaces: tuple[Space, ...] = ()

    def of(self, plans: Plans, at: int) -> Space:
        """The space that a plan is of."""
        return self.spaces[plans.chosen[SPACE][at]] if self.spaces else self

    @property
    def keys(self) -> list[str]:
        """All that a plan chooses."""
        return [*DEGREES, STAGES, INSTANCES, NODES, *(key for key in self.vary if key != VPP)]

    def grids(self) -> Plans:
        """Every pair of rank grids: of training those that fill the GPUs, of serving those of an instance, as often as it fits, or once
        where it is of a pool.
        """
        rows: list[tuple[int, ...]] = []
        node = self.config.hardware.node.gpus
        for size in self._sizes():
            own = shared(size, node)
            instances = self._instances(size)
            nodes = -(-instances // own.seats) * own.nodes
            if instances * size > self.gpus or nodes > -(-self.gpus // node):
                continue
            rows += [(*row, instances, nodes) for row in self._of(size)]
        names = ("tp", "cp", "pp", "adp", "ep", "etp", INSTANCES, NODES)
        table = np.array(rows, dtype=np.int32).reshape(-1, len(names))
        return Plans({name: np.ascontiguousarray(column) for name, column in zip(names, table.T, strict=True)}, {})

    def _sizes(self) -> Iterator[int]:
        """Ranks of an instance."""
        hardware = self.config.hardware
        if self.config.workload.train:
            yield self.gpus // self.config.framework.instances
            return
        gpus = hardware.node.gpus
        nodes = self.gpus // gpus
        yield from range(1, min(gpus, self.gpus) + 1)
        yield from (
            gpus * count for count in range(2, nodes + 1) if count <= NODES_OF_AN_INSTANCE or nodes % count == 0
        )

    def _instances(self, size: int) -> int:
        own = shared(size, self.config.hardware.node.gpus)
        if self.config.workload.train or self.config.workload.role or "instances" in self.fixed:
            return self.config.framework.instances
        nodes = -(-self.gpus // self.config.hardware.node.gpus)
        return max(min(nodes // own.nodes * own.seats, self.gpus // size), 1)

    def _of(self, size: int) -> Iterator[tuple[int, ...]]:
        """tp, cp, pp, adp, ep, etp of `size` ranks."""
        moe, alone = self.config.model.moe, {self.fixed.get("ep", 1), self.fixed.get("etp", 1)} == {1}
        for tp in self._open("tp", divisors(size)):
            for cp in self._open("cp", divisors(size // tp)):
                for pp in self._open("pp", divisors(size // (tp * cp))):
                    adp = size // (tp * cp * pp)
                    if self.fixed.get("adp", adp) != adp:
                        continue
                    for ep, etp in self._experts(tp * cp * adp) if moe else [(1, 1)] * alone:
                        if self.fixed.get("dp", 0) in (0, adp / ep):
                            yield tp, cp, pp, adp, ep, etp

    def _experts(self, stage: int) -> Iterator[tuple[int, int]]:
        for ep in self._open("ep", divisors(stage)):
            for etp in self._open("etp", divisors(stage // ep)):
                yield ep, etp

    def _open(self, name: str, found: Sequence[int]) -> Sequence[int]:
        if name not in self.fixed:
            return found
        return [self.fixed[name]] if self.fixed[name] in found else []

    def staged(self, plans: Plans) -> Plans:
        """Each with its virtual stages and splits of layers."""
        total = self.config.model.num_hidden_layers
        varied = self.vary.get(VPP, (self.config.parallel.vpp,))
        own = [
            [count for count in varied if count == 1 or (pp > 1 and pp * count <= total + 2) or len(varied) == 1]
            for pp in plans.chosen["pp"].tolist()
        ]
        plans = plans.each("vpp", own)
        both = list(zip(plans.chosen["pp"].tolist(), plans.chosen["vpp"].tolist(), strict=True))
        of = {pair: self._splits(*pair) for pair in dict.fromkeys(both)}
        return plans.each(STAGES, [of[pair] for pair in both])

    def stagings(self, plans: Plans) -> Numbers:
        """How many plans each of these stands for, once its stages are chosen."""
        counts = np.unique(plans.chosen["pp"], return_inverse=True)
        each = [len(self.staged(Plans({"pp": np.array([pp], dtype=np.int32)}, {}))) for pp in counts[0]]
        return np.array(each, dtype=np.int32)[counts[1].ravel()]

    def _splits(self, pp: int, vpp: int) -> list[int]:
        one = replace(self.config, parallel=replace(self.config.parallel, pp=pp, vpp=vpp))
        return splits.choices(one, pp, vpp)

    def stages(self, plans: Plans, at: int) -> list[int] | None:
        """Layers of each virtual stage of a plan where they are written."""
        given = self.config.parallel.stages
        split, parts = int(plans.chosen[STAGES][at]), int(plans.chosen["pp"][at] * plans.chosen["vpp"][at])
        found = splits.layers(self.config.model.num_hidden_layers, split, parts)
        return given if found is None else list(found)

    def point(self, plans: Plans, at: int) -> dict[str, Any]:
        """What a plan chooses, as values; what is not chosen yet is left out."""
        found = {key: plans.value(key, at) for key in plans.chosen if key != STAGES}
        return found | ({STAGES: self.stages(plans, at)} if STAGES in plans.chosen else {})

    def varied(self) -> list[tuple[str, Sequence[Any]]]:
        """Keys beside the degrees."""
        return [(key, values) for key, values in self.vary.items() if key != VPP]

    def combinations(self) -> list[dict[str, Any]]:
        """Every choice of the varied keys."""
        keys = self.varied()
        return [dict(zip((key for key, _ in keys), found, strict=True)) for found in product(*(v for _, v in keys))]


def divisors(number: int) -> list[int]:
    """All of them, from 1 on."""
    small = [size for size in range(1, int(number**0.5) + 1) if number % size == 0]
    return sorted({*small, *(number // size for size in small)})
