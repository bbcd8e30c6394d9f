"""The meshes that torchtitan builds, as tables of groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from compiler.frameworks.proof import Finding, compared, groups
from compiler.frameworks.torchtitan.arguments import backend
from compiler.frameworks.torchtitan.layout import PREFIX, expert_shards
from compiler.world import World

Calls = Mapping[str, list[list[int]]]
"""Dimension of a mesh -> the ranks of every group that torch was asked for, in order; a dimension may come twice."""

PLANNED = {"tp": "tp", "cp": "cp", "dp": "batch", "dp_cp": "loss_mesh", "pp": "pp"}
"""Kind -> the dimension that has its communicators."""
TENSORS = {"tp_pp": ("pp", "tp"), "tp_cp": ("cp", "tp")}
"""Kind -> dimensions of the mesh that loads data, where torchtitan has no communicator."""
SPARSE = {"etp": (), "etp_ep": ("ep",), "etp_ep_pp": ("pp", "ep"), "edp": ("dp_replicate", "efsdp")}
DENSE = {"ep": (), "etp": ("tp",), "etp_ep": ("tp",), "etp_ep_pp": ("pp", "tp"), "edp": ("batch", "cp")}
"""The same for experts: on a mesh of their own with ep above 1, else on the dense one."""


@contextmanager
def recorded() -> Iterator[Calls]:
    """Record what DeviceMesh asks torch for."""
    from torch.distributed import device_mesh

    calls: defaultdict[str, list[list[int]]] = defaultdict(list)
    make = device_mesh.new_group

    def new_group(*, ranks: list[int], group_desc: str, **options: Any) -> Any:
        calls[group_desc.removeprefix("mesh_")].append(ranks)
        return make(ranks=ranks, group_desc=group_desc, **options)

    with mock.patch.object(device_mesh, "new_group", new_group):
        yield calls


def build(world: World, parallelism: Any) -> Any:
    """The ParallelDims that the arguments give, with its meshes and those that FSDP makes of them."""
    from torch.distributed.fsdp._fully_shard import _fsdp_init
    from torchtitan.distributed import full_dtensor, parallel_dims

    with mock.patch.object(parallel_dims, "device_type", "cpu"):
        dims = parallel_dims.ParallelDims.from_config(parallelism, world.size)
        dims.build_mesh()
    if backend(world.config) != "partial_dtensor":
        _fsdp_init._get_mesh_info(*full_dtensor.resolve_fsdp_mesh(dims))  # noqa: SLF001 - what fully_shard does with it
    return dims


def sizes(world: World, dims: Any) -> Iterator[Finding]:
    """Ranks that share an expert's weights, which no argument says."""
    if world.degrees.ep > 1:
        found = dims._single_axis_meshes["efsdp"].size()  # noqa: SLF001 - it has no other door
        yield compared("degree efsdp", expert_shards(world.config), found)


def found(world: World, dims: Any, calls: Calls) -> Iterator[Finding]:
    """Every kind of group: communicators where torchtitan has them, else the ranks of its mesh."""
    sparse = world.config.model.moe and world.degrees.ep > 1
    communicators = {**PLANNED, **({"ep": "ep"} if sparse else {}), **_own(world)}
    tensors = {**TENSORS, **(SPARSE if sparse else DENSE)}
    for kind in world.groups:
        planned = world.groups[kind]
        if kind in communicators:
            yield groups(kind, planned, _communicators(world, calls[communicators[kind]], planned.tolist()))
        else:
            mesh = dims._global_meshes["sparse" if sparse and kind in SPARSE else "dataloading"]  # noqa: SLF001 - as above
            yield groups(kind, planned, _ranks(mesh, tensors[kind]))


def _own(world: World) -> dict[str, str]:
    names = ("batch", "dp_replicate", "dp_shard", "efsdp")
    if backend(world.config) == "partial_dtensor":
        fsdp = "fsdp"
    else:
        fsdp = "dp_shard_cp" if world.degrees.cp > 1 else "dp_shard"
    return {**{f"{PREFIX}.{name}": name for name in names}, f"{PREFIX}.loss": "loss_mesh", f"{PREFIX}.fsdp": fsdp}


def _communicators(world: World, made: list[list[int]], planned: list[list[int]]) -> list[list[int]]:
    """The groups of a dimension: a partition of the ranks, which several meshes may repeat; one that differs if any does.

    A dimension of all ranks has no group of its own: it takes torch's default one.
    """
    if not made:
        return [list(range(world.size))]
    partitions: list[list[list[int]]] = [[]]
    for ranks in made:
        if sum(map(len, partitions[-1])) == world.size:
            partitions.append([])
        partitions[-1].append(ranks)
    return next((partition for partition in partitions if partition != planned), partitions[0])


def _ranks(mesh: Any, dimensions: tuple[str, ...]) -> list[list[int]]:
    """Groups along some dimensions of a mesh, slow one first."""
    names = mesh.mesh_dim_names
    order = [names.index(name) for name in names if name not in dimensions]
    order += [names.index(name) for name in dimensions]
    tensor, size = mesh.mesh, 1
    for name in dimensions:
        size *= mesh.shape[names.index(name)]
    rows: list[list[int]] = tensor.permute(order).reshape(-1, size).tolist()
    return rows
