"""torchtitan's meshes as grids (distributed/parallel_dims.py, build_mesh), fastest axis first.

Dense: tp, cp, dp_shard, dp_replicate, pp. Sparse, with ep above 1: ep, efsdp, dp_replicate, pp; efsdp is what is left of
dp_shard*cp*tp, so that a group of experts never leaves a replica. With ep 1 experts are sharded on the dense mesh: their
hidden dimension over tp (models/common/moe_sharding.py), which makes etp the same axis as tp.
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.frameworks.torchtitan.arguments import backend, replicas
from compiler.layout.grid import Grid, GroupKind, row_major
from compiler.specs.config import Config

PREFIX = "torchtitan"
DENSE_KINDS: Mapping[str, tuple[str, ...]] = {
    "batch": ("dp_shard", "dp_replicate"),
    "loss": ("cp", "dp_shard", "dp_replicate"),
    "dp_replicate": ("dp_replicate",),
    "fsdp": ("cp", "dp_shard"),
}
"""Mesh -> its axes: data loading, the loss's sum, copies of parameters, and what shards them."""


def sharded(config: Config) -> int:
    """dp_shard; exact only where the replicas divide adp."""
    return config.degrees.adp // max(replicas(config), 1)


def fits(config: Config) -> bool:
    """Whether both meshes cover the ranks."""
    degrees = config.degrees
    whole = degrees.adp == sharded(config) * replicas(config)
    return whole and sharded(config) * degrees.cp * degrees.tp % degrees.ep == 0


def expert_shards(config: Config) -> int:
    """efsdp: ranks over which FSDP shards an expert's parameters; those of the dense mesh with ep 1."""
    degrees, dense = config.degrees, sharded(config) * config.degrees.cp
    return dense * degrees.tp // degrees.ep if degrees.ep > 1 else dense


def grids(config: Config) -> tuple[Grid, Grid]:
    """The plan's axes on both meshes; `parallel.order` has no say."""
    degrees = config.degrees
    return (
        row_major([("tp", degrees.tp), ("cp", degrees.cp), ("dp", degrees.adp), ("pp", degrees.pp)]),
        row_major([("etp", degrees.etp), ("ep", degrees.ep), ("edp", degrees.edp), ("pp", degrees.pp)]),
    )


def own_kinds(config: Config) -> dict[str, GroupKind]:
    """torchtitan's meshes that are no axis of the plan; none where they do not cover the ranks."""
    if not fits(config):
        return {}
    degrees, copies = config.degrees, replicas(config)
    outer = [("dp_replicate", copies), ("pp", degrees.pp)]
    dense = row_major([("tp", degrees.tp), ("cp", degrees.cp), ("dp_shard", sharded(config)), *outer])
    wanted = dict(DENSE_KINDS)
    if backend(config) != "partial_dtensor":
        wanted["dp_shard"] = ("dp_shard",)
    found = {f"{PREFIX}.{name}": dense.kind(axes) for name, axes in wanted.items()}
    if config.model.moe and degrees.ep > 1:
        sparse = row_major([("ep", degrees.ep), ("efsdp", expert_shards(config)), *outer])
        found[f"{PREFIX}.efsdp"] = sparse.kind(["efsdp"])
    return found
