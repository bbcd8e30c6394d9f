"""The CSV tables, as chunks of text: a million ranks are never one string."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compiler.cluster.spans import SPANS
from compiler.layout.stages import span
from compiler.plan import Plan
from compiler.rank_map import COLUMNS
from compiler.world import World

CHUNK = 65536
"""Rows joined into one chunk of text."""


def rank_map(plan: Plan) -> Iterator[str]:
    """A row a rank; no value of a column holds a comma, a quote or a line break (invariant site-devices)."""
    yield ",".join(COLUMNS) + "\n"
    for start in range(0, plan.world_size, CHUNK):
        part = slice(start, start + CHUNK)
        columns = [map(str, plan.rank_map[column][part].tolist()) for column in COLUMNS]
        yield "\n".join(map(",".join, zip(*columns, strict=True))) + "\n"


def nccl_groups(world: World) -> Iterator[str]:
    """A row a group, singletons included, kinds in the order of the contract."""
    yield "kind,index,size,span,ranks\n"
    names = np.array(list(map(str, range(world.size))), dtype=object)
    for kind, table in world.groups.items():
        spans = world.spans(kind)
        step = max(1, CHUNK // table.shape[1])
        for start in range(0, len(table), step):
            rows = names[table[start : start + step]].tolist()
            yield "".join(
                f"{kind},{index},{len(ranks)},{SPANS[span]},{' '.join(ranks)}\n"
                for index, (span, ranks) in enumerate(
                    zip(spans[start : start + step].tolist(), rows, strict=True), start
                )
            )


def slots(world: World) -> Iterator[str]:
    """A row a node slot; `host` is empty until slots are bound. Where instances have a part of a node, `gpus` says whose GPUs are
    whose: `instance:first-last`, joined by `;`.
    """
    at = world.slots
    gpus = None if at.share.whole else [f",{text}" for text in _holders(world)]
    yield f"slot,host,leaf,pod{',gpus' if gpus else ''}\n"
    hosts = at.hosts or [""] * at.count
    leaf_names, pod_names = list(map(_cell, at.leaf_names)), list(map(_cell, at.pod_names))
    leaves, pods = at.leaf.tolist(), at.pod.tolist()
    for start in range(0, at.count, CHUNK):
        stop = min(start + CHUNK, at.count)
        yield "".join(
            f"{i},{hosts[i]},{leaf_names[leaves[i]]},{pod_names[pods[i]]}{gpus[i] if gpus else ''}\n"
            for i in range(start, stop)
        )


def _holders(world: World) -> Iterator[str]:
    """The `gpus` column."""
    share = world.slots.share
    for slot in range(world.slots.count):
        held = ((i, share.first_gpu(i)) for i in share.holders(slot, world.instances).tolist())
        yield ";".join(f"{i}:{span(first, first + share.ranks - 1)}" for i, first in held)


def _cell(text: str) -> str:
    """A CSV field; an inventory's names of leaves and pods are anybody's."""
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(mark in text for mark in ',"\r\n') else text
