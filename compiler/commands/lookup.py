"""A plan folder and a question -> its answer, expanded from the grids by numpy for that one question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from compiler.cluster.layout import ATTENTION, AXES
from compiler.cluster.spans import SPANS, distinct, spans
from compiler.commands.answers import (
    Collective,
    GroupAnswer,
    Holding,
    Membership,
    Neighbour,
    Place,
    RankAnswer,
    Resident,
    SlotAnswer,
)
from compiler.commands.expert_slots import expert_slots
from compiler.commands.folder import PlanFolder
from compiler.layout.experts import label, ranges
from compiler.layout.grid import Ranks


def rank_answer(plan: PlanFolder, rank: int) -> RankAnswer:
    """`rank` is in 0 .. size-1."""
    at = coordinates(plan, rank)
    groups = tuple(_membership(plan, kind, rank) for kind in plan.groups if plan.groups.holds(kind, rank))
    kinds = {item.group.partition("/")[0] for item in groups if item.size > 1}
    previous, following = _stages_beside(plan, rank)
    return RankAnswer(
        query=f"rank={rank}",
        places=tuple(place(plan, rank, instance) for instance in range(plan.instances)),
        coordinates=at,
        layers=plan.stages.labels[at["pp"]],
        experts=_experts(plan, at),
        experts_by_layer=_by_layer(plan, at),
        memory=plan.contents["memory"]["stages"][at["pp"]],
        previous_stage=previous,
        next_stage=following,
        groups=groups,
        collectives=_collectives(plan, kinds),
    )


def group_answer(plan: PlanFolder, kind: str, index: int) -> GroupAnswer:
    """`kind` is one of the plan's, `index` one of its groups."""
    ranks, slots = plan.groups[kind][index], plan.slots
    slot = slots.slot(ranks)
    ids = np.stack([slots.nvlink_domain(ranks), slot, slots.leaf[slot], slots.pod[slot]])
    domains, nodes, leaves, pods = distinct(ids).tolist()
    links = _links(plan, ranks, np.roll(ranks, -1))
    return GroupAnswer(
        query=f"group={kind}/{index}",
        size=len(ranks),
        span=_span(plan, ranks),
        domains=domains,
        nodes=nodes,
        leaves=leaves,
        pods=pods,
        collectives=_collectives(plan, {kind}),
        members=tuple(Neighbour(place(plan, rank), link) for rank, link in zip(ranks.tolist(), links, strict=True)),
    )


def slot_answer(plan: PlanFolder, slot: int, query: str) -> SlotAnswer:
    """`slot` is in 0 .. count-1; it may hold ranks of several instances, or none."""
    slots = plan.slots
    held = slots.share.holders(slot, plan.instances)
    block = np.arange(slots.share.ranks) + slot % slots.share.nodes * slots.share.ranks
    seats = (held[:, None] * plan.size + block).ravel()
    return SlotAnswer(
        query=query,
        slot=slot,
        host=slots.hosts[slot] if slots.hosts else "",
        leaf=slots.leaf_names[int(slots.leaf[slot])],
        pod=slots.pod_names[int(slots.pod[slot])],
        ranks=tuple(_resident(plan, *divmod(seat, plan.size)) for seat in seats.tolist()),
        groups=tuple(
            holding
            for instance in dict.fromkeys((seats // plan.size).tolist())
            for holding in _holdings(plan, slot, instance)
        ),
    )


def place(plan: PlanFolder, rank: int, instance: int = 0) -> Place:
    """Instances fill GPUs one after the other."""
    slots, seat = plan.slots, np.array([rank + instance * plan.size])
    slot, local_rank, gpu = (int(of(seat)[0]) for of in (slots.slot, slots.local_rank, slots.gpu))
    host = slots.hosts[slot] if slots.hosts else ""
    leaf, pod = slots.leaf_names[int(slots.leaf[slot])], slots.pod_names[int(slots.pod[slot])]
    return Place(rank, instance, slot, host, local_rank, gpu, leaf, pod)


def coordinates(plan: PlanFolder, rank: int) -> dict[str, int]:
    """Axis -> coordinate: of the attention grid, then of the expert grid where the model has experts."""
    ranks = np.array([rank], dtype=np.int64)
    return {axis: int(plan.coordinate(axis, ranks)[0]) for axis in (AXES if plan.experts.blocks else ATTENTION)}


def _experts(plan: PlanFolder, at: Mapping[str, int]) -> str:
    return plan.experts.label(at["pp"], at["ep"]) if plan.experts.blocks else ""


def _by_layer(plan: PlanFolder, at: Mapping[str, int]) -> dict[int, str]:
    """Experts of a rank in each layer of its stage, where a map places them so."""
    layers, blocks = set(plan.stages.layers[at["pp"]]), len(plan.experts.blocks)
    slots = ((layer, row) for layer, row in expert_slots(plan).items() if layer in layers)
    return {layer: label(ranges(np.unique(row.reshape(blocks, -1)[at["ep"]]).tolist())) for layer, row in slots}


def _span(plan: PlanFolder, ranks: Ranks) -> str:
    return SPANS[int(spans(ranks[None, :], plan.slots)[0])]


def _membership(plan: PlanFolder, kind: str, rank: int) -> Membership:
    index, ranks = plan.groups.of_rank(kind, rank)
    others = ranks[ranks != rank]
    links = _links(plan, np.full_like(others, rank), others)
    return Membership(
        group=f"{kind}/{index}",
        position=int((ranks == rank).argmax()),
        size=len(ranks),
        span=_span(plan, ranks),
        peers={span: links.count(span) for span in SPANS if span in links},
        ranks=tuple(ranks.tolist()),
    )


def _stages_beside(plan: PlanFolder, rank: int) -> tuple[Neighbour | None, Neighbour | None]:
    """The ranks that a rank receives from and sends to in a forward pass.

    With virtual chunks the last stage goes on at the first one, with its next chunk.
    """
    _, ranks = plan.groups.of_rank("pp", rank)
    position, last = int((ranks == rank).argmax()), len(ranks) - 1
    ring = last > 0 and len(plan.stages.chunks[0]) > 1
    before = int(ranks[position - 1]) if position > 0 or ring else None
    after = int(ranks[(position + 1) % len(ranks)]) if position < last or ring else None
    return _neighbour(plan, rank, before), _neighbour(plan, rank, after)


def _neighbour(plan: PlanFolder, rank: int, other: int | None) -> Neighbour | None:
    if other is None:
        return None
    return Neighbour(place(plan, other), _links(plan, np.array([rank]), np.array([other]))[0])


def _links(plan: PlanFolder, ranks: Ranks, others: Ranks) -> list[str]:
    """The slowest link between each rank and its partner; `gpu` to itself."""
    pairs = np.stack([ranks, others], axis=1)
    found = np.where(ranks == others, 0, spans(pairs, plan.slots))
    return [SPANS[span] for span in found.tolist()]


def _collectives(plan: PlanFolder, kinds: set[str]) -> tuple[Collective, ...]:
    return tuple(row for row in plan.contents["communication"] if row["kind"] in kinds)


def _resident(plan: PlanFolder, instance: int, rank: int) -> Resident:
    at = coordinates(plan, rank)
    return Resident(place(plan, rank, instance), at, plan.stages.labels[at["pp"]], _experts(plan, at))


def _holdings(plan: PlanFolder, slot: int, instance: int) -> Iterator[Holding]:
    for kind, table in plan.groups.items():
        on_slot = plan.slots.slot(table + instance * plan.size) == slot
        touching = np.flatnonzero(on_slot.any(axis=1))
        if not len(touching):
            continue
        stays = on_slot[touching].all(axis=1)
        worst = spans(table[touching] + instance * plan.size, plan.slots).max()
        yield Holding(
            instance, kind, tuple(touching[stays].tolist()), tuple(touching[~stays].tolist()), SPANS[int(worst)]
        )
