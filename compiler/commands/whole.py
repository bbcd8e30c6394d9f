"""Whether what a plan folder says is a whole plan: relations that every plan keeps, and edited files may not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from compiler.cluster.layout import Layout
from compiler.specs.limits import EXPERTS, LAYERS, RANKS


def holes(contents: Mapping[str, Any]) -> Iterator[str]:
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


def mismatches(found: Layout, contents: Mapping[str, Any], rows: int) -> Iterator[str]:
    """Relations between the parts of a layout, and `rows` of slots.csv."""
    size, slots, stages = contents["world_size"], contents["slots"]["count"], found.stages.pp
    for grid in (found.attention, found.expert):
        last = sum((axis.size - 1) * axis.stride for axis in grid.axes)
        if min(axis.size for axis in grid.axes) < 1 or grid.world_size != size or last != size - 1:
            yield f"a grid of {grid.world_size} ranks up to {last} for a world of {size}"
    yield from _endless(found)
    for kind, runs in found.kinds.items():
        last = sum((size - 1) * stride for size, stride in runs.members + runs.bases)
        if min((size for size, _ in runs.members + runs.bases), default=1) < 1 or not 0 <= last < size:
            yield f"groups {kind} that reach rank {last} in a world of {size}"
    if stages != found.attention.size("pp") or len(contents["memory"]["stages"]) != stages:
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


def _endless(found: Layout) -> Iterator[str]:
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
