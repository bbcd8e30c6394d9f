"""A plan folder, read back without compiling again: grids, groups, stages, experts and slots from their closed form."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from compiler.cluster.hosts import of_plan
from compiler.cluster.inventory import Host
from compiler.cluster.share import split
from compiler.cluster.slots import Slots, from_inventory, nominal
from compiler.document import SCHEMA
from compiler.errors import ConfigError
from compiler.inputs import json_object, table, yaml_mapping
from compiler.inputs.file import text as text_of
from compiler.layout.experts import ExpertBlocks
from compiler.layout.grid import Axis, Grid, GroupKind, Run
from compiler.layout.groups import Groups
from compiler.layout.stages import Stages
from compiler.pooled import SCHEMA as POOLS
from compiler.specs.hardware import Hardware, Node, Nvlink, Within
from compiler.specs.limits import EXPERTS, LAYERS, RANKS

AGAIN = "compile the plan again"
MOST_BYTES = 2**26
"""Of a file in a plan folder: slots.csv has 50 bytes a slot."""


@dataclass(frozen=True)
class PlanFolder:
    """The ranks of one instance and the slots of all of them; `contents` is what plan.json holds."""

    path: Path
    contents: Mapping[str, Any]
    attention: Grid
    expert: Grid
    stages: Stages
    experts: ExpertBlocks
    slots: Slots
    kinds: Mapping[str, GroupKind]
    spare_hosts: tuple[Host, ...]

    @property
    def name(self) -> str:
        return str(self.contents["name"])

    @property
    def size(self) -> int:
        """Ranks of one instance."""
        return self.attention.world_size

    @property
    def instances(self) -> int:
        return int(self.contents["instances"])

    @cached_property
    def groups(self) -> Groups:
        return Groups(self.kinds)


def read(path: Path) -> PlanFolder:
    """Read plan.json, slots.csv and the cluster's shape in config.yaml. Raises ConfigError for what is no plan."""
    contents = _plan_json(path)
    rows, hardware = _slots_csv(path), _hardware(path)
    try:
        found = _expand(path, contents, rows, hardware)
        wrong = [*_mismatches(found, len(rows)), *_holes(contents)]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise ConfigError.of(f"{path} does not hold a whole plan: {type(error).__name__} {error}", AGAIN) from error
    if wrong:
        raise ConfigError.of(f"{path} does not hold a whole plan: {', '.join(wrong)}", AGAIN)
    return found


def _expand(
    path: Path, contents: Mapping[str, Any], rows: Sequence[Mapping[str, str]], hardware: Mapping[str, Any]
) -> PlanFolder:
    """Closed forms -> objects. Raises what malformed values raise."""
    stages = Stages(tuple(tuple((int(a), int(b)) for a, b in stage["chunks"]) for stage in contents["stages"]))
    experts = contents["experts"]
    blocks = tuple(_runs(ranges) for ranges in experts["blocks"])
    cluster = _cluster(hardware, int(contents["slots"]["gpus"]))
    return PlanFolder(
        path=path,
        contents=contents,
        attention=_grid(contents["grids"]["attention"]),
        expert=_grid(contents["grids"]["expert"]),
        stages=stages,
        experts=ExpertBlocks(blocks, tuple(map(bool, experts["moe_stages"]))),
        slots=_slots(contents["slots"], int(contents["world_size"]), rows, cluster),
        kinds={str(row["kind"]): GroupKind(_runs(row["members"]), _runs(row["bases"])) for row in contents["groups"]},
        spare_hosts=of_plan(cluster)[len(rows) :],
    )


def _runs(pairs: Sequence[Sequence[int]]) -> tuple[Run, ...]:
    return tuple((int(size), int(stride)) for size, stride in pairs)


def _grid(axes: Sequence[Mapping[str, Any]]) -> Grid:
    return Grid(tuple(Axis(str(axis["axis"]), int(axis["size"]), int(axis["stride"])) for axis in axes))


def _slots(stated: Mapping[str, Any], size: int, rows: Sequence[Mapping[str, str]], cluster: Hardware) -> Slots:
    """Hosts, leaves and pods as slots.csv has them; NVLink domains, which it has not, from the declared cluster."""
    gpus, spares = int(stated["gpus"]), tuple(stated["spares"])
    leaves = [(row["pod"], row["leaf"]) for row in rows]
    leaf_ids = {leaf: index for index, leaf in enumerate(dict.fromkeys(leaves))}
    pod_ids = {pod: index for index, pod in enumerate(dict.fromkeys(pod for pod, _ in leaves))}
    hosts = tuple(row["host"] for row in rows)
    return replace(
        _declared(cluster, len(rows)),
        leaf=np.array([leaf_ids[leaf] for leaf in leaves], dtype=np.int64),
        pod=np.array([pod_ids[pod] for pod, _ in leaves], dtype=np.int64),
        leaf_names=tuple(leaf for _, leaf in leaf_ids),
        pod_names=tuple(pod_ids),
        hosts=hosts if any(hosts) else (),
        spares=spares,
        given=split(size, gpus, int(stated.get("share", {}).get("first_gpu", 0))),
    )


def _declared(cluster: Hardware, count: int) -> Slots:
    """Slots of the declared cluster, of which only the NVLink domains are kept."""
    found = of_plan(cluster)
    return from_inventory(cluster, found, count, pin=False) if len(found) >= count else nominal(cluster, count)


def _cluster(hardware: Mapping[str, Any], gpus: int) -> Hardware:
    """What of the declared cluster says where slots are."""
    domain_gpus, hosts = int(hardware["nvlink"]["domain_gpus"]), hardware.get("hosts")
    if gpus < 1 or domain_gpus < 1:
        raise ValueError(f"{gpus} GPUs a node, {domain_gpus} in an NVLink domain")
    return Hardware(
        nodes=int(hardware["nodes"]),
        node=Node(gpus),
        nvlink=Nvlink(domain_gpus),
        inventory=hardware["inventory"],
        hosts=None if hosts is None else str(hosts),
        within=Within(**hardware.get("within", {})),
    )


def _holes(contents: Mapping[str, Any]) -> Iterator[str]:
    """What else of plan.json is read, and is not there."""
    if not isinstance(contents.get("name"), str):
        yield "it has no name"
    for index, stage in enumerate(contents["memory"]["stages"]):
        keys = ("pp", "worst_rank", "total_bytes", "capacity_bytes")
        if not all(isinstance(stage.get(key), int) for key in keys) or stage["capacity_bytes"] < 1:
            yield f"memory.stages[{index}] lacks a number"
    for index, row in enumerate(contents["communication"]):
        texts = all(isinstance(row.get(key), str) for key in ("kind", "phase", "op", "role"))
        counts = ("count", "bytes_per_call", "bytes_per_rank", "seconds", "overlapped")
        if not texts or not all(isinstance(row.get(key, ""), (int, float, type(None))) for key in counts):
            yield f"communication[{index}] lacks a value"


def _mismatches(found: PlanFolder, rows: int) -> Iterator[str]:
    """Relations that every plan keeps, and hand-edited files may not."""
    size, slots, stages = found.contents["world_size"], found.contents["slots"]["count"], found.stages.pp
    for grid in (found.attention, found.expert):
        last = sum((axis.size - 1) * axis.stride for axis in grid.axes)
        if min(axis.size for axis in grid.axes) < 1 or grid.world_size != size or last != size - 1:
            yield f"a grid of {grid.world_size} ranks up to {last} for a world of {size}"
    yield from _endless(found)
    for kind, runs in found.kinds.items():
        last = sum((size - 1) * stride for size, stride in runs.members + runs.bases)
        if min((size for size, _ in runs.members + runs.bases), default=1) < 1 or not 0 <= last < size:
            yield f"groups {kind} that reach rank {last} in a world of {size}"
    if stages != found.attention.size("pp") or len(found.contents["memory"]["stages"]) != stages:
        yield f"{stages} stages for a pp axis of {found.attention.size('pp')}"
    blocks = (len(found.experts.blocks), len(found.experts.stages))
    if found.experts.blocks and blocks != (found.expert.size("ep"), stages):
        yield f"{blocks[0]} blocks of experts in {blocks[1]} stages for an ep axis of {found.expert.size('ep')}"
    if found.instances < 1:
        yield f"{found.instances} instances"
    if rows != slots:
        yield f"slots.csv has {rows} slots, plan.json {slots}"
    share = found.slots.share
    if share.size != size or share.all_nodes(found.instances) > rows:
        yield f"{size} x {found.instances} ranks on {rows} slots of {share.ranks} GPUs"


def _endless(found: PlanFolder) -> Iterator[str]:
    """What would be expanded into more than any plan has."""
    if found.size * max(found.instances, 1) > RANKS:
        yield f"{found.size} x {found.instances} ranks, of which a plan has at most {RANKS}"
    layers = max((last for stage in found.stages.chunks for _, last in stage), default=0)
    experts = max((last for block in found.experts.blocks for _, last in block), default=0)
    for what, last, most in (("layer", layers, LAYERS), ("expert", experts, EXPERTS)):
        if last >= most:
            yield f"{what} {last}, of which a plan has at most {most}"
    least = [first for ranges in (*found.stages.chunks, *found.experts.blocks) for first, _ in ranges]
    if min(least, default=0) < 0:
        yield f"{min(least)} as a layer or an expert"
    for kind, runs in found.kinds.items():
        ranks = math.prod(size for size, _ in runs.members + runs.bases)
        if ranks > found.size:
            yield f"groups {kind} of {ranks} ranks in a world of {found.size}"


def _plan_json(path: Path) -> Mapping[str, Any]:
    contents = json_object.read(str(path / "plan.json"), _text(path, "plan.json"), AGAIN)
    if contents.get("schema") == POOLS:
        raise ConfigError.of(f"{path} holds {len(contents.get('pools', ()))} plans", f"write {_plans_in(path)}")
    if contents.get("schema") != SCHEMA:
        raise ConfigError.of(
            f"{path / 'plan.json'} has schema {contents.get('schema')}, this program reads {SCHEMA}", AGAIN
        )
    return contents


def _slots_csv(path: Path) -> list[dict[str, str]]:
    _, rows = table.read(str(path / "slots.csv"), _text(path, "slots.csv"), ("slot", "host", "leaf", "pod"))
    if not rows:
        raise ConfigError.of(f"{path / 'slots.csv'} has no rows of slot,host,leaf,pod", AGAIN)
    return [row for _, row in rows]


def _hardware(path: Path) -> Mapping[str, Any]:
    """`hardware` of config.yaml."""
    found = yaml_mapping.read(str(path / "config.yaml"), _text(path, "config.yaml")).get("hardware")
    if not isinstance(found, dict):
        raise ConfigError.of(f"{path / 'config.yaml'} has no hardware", AGAIN)
    return found


def _text(path: Path, name: str) -> str:
    if not os.path.lexists(path / name):
        raise ConfigError.of(f"{path} is no plan folder: it has no {name}", f"write {_plans_in(path)}")
    return text_of(str(path / name), path / name, AGAIN, MOST_BYTES)


def _plans_in(path: Path) -> str:
    """The plan folders that the user may have meant: those one level below."""
    try:
        found = sorted(str(plan.parent) for plan in path.glob("*/plan.json"))
    except OSError:
        found = []
    return " or ".join(found[:3]) or "a folder that `python -m compiler` wrote, such as out/NAME"
