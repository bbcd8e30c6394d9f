"""Where prefill and decode sit on one cluster: on nodes of their own, or decode on what prefill leaves of its last one."""

from __future__ import annotations

from compiler.cluster.share import Share, split
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.specs.degrees import resolve
from compiler.specs.workload import ROLES


@dataclass(frozen=True)
class Place:
    """A pool's `nodes`, the `first` of them among those of both pools, and GPUs of that one which the pool before it has."""

    first: int
    nodes: int
    taken_gpus: int = 0


@dataclass(frozen=True)
class Seating:
    prefill: Place
    decode: Place

    def __getitem__(self, role: str) -> Place:
        return self.prefill if role == "prefill" else self.decode

    @property
    def nodes(self) -> int:
        """Nodes of both together."""
        return self.decode.first + self.decode.nodes

    @property
    def shared(self) -> int:
        """Nodes that both have ranks on."""
        return self.prefill.nodes - self.decode.first


def seat(prefill: Share, decode: Share, instances: tuple[int, int], nodes: int) -> Seating:
    """Apart, unless `nodes` are just enough where decode begins on prefill's last one, in the room that is left there."""
    first, others = prefill.all_nodes(instances[0]), decode.all_nodes(instances[1])
    behind = decode.behind(prefill.used(instances[0]))
    if behind is not None and first - 1 + behind.all_nodes(instances[1]) == nodes < first + others:
        return Seating(Place(0, first), Place(first - 1, nodes - first + 1, behind.first_gpu(0)))
    return Seating(Place(0, first), Place(first, others))


def seated(config: Config) -> Seating:
    """Where the pools of a configuration sit."""
    pools, gpus, moe = config.workload.pools, config.hardware.node.gpus, config.model.moe
    fill, step = (split(resolve(pools[role].parallel, moe).world_size, gpus) for role in ROLES)
    instances = (pools.prefill.instances, pools.decode.instances)
    return seat(fill, step, instances, config.hardware.nodes)
