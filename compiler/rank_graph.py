"""The rank graph: ranks joined to their groups, and ranks to GPU, node, leaf, pod and fabric.

Groups are nodes, not cliques: edges then grow with ranks times kinds, not with the square of a group's size.
Node ids are strings: `rank/777`, `group/ep/3`, `gpu/97/1`, `domain/12`, `node/97`, `leaf/6`, `pod/0`, `fabric`.
Above `RANK_LIMIT` ranks it is built over slots: groups join nodes, and there are no ranks and GPUs.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import numpy as np

from compiler.cluster.spans import SPANS
from compiler.world import World

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.Graph[str]

RANK_LIMIT = 65536


def rank_graph(world: World) -> Graph:
    """Every node has a `kind`; a group's node also has its `index`, `size` and `span`."""
    import networkx as nx

    graph: Graph = nx.Graph(world_size=world.size)
    by_slot = world.size > RANK_LIMIT
    _add_machines(graph, world)
    if not by_slot:
        _add_ranks(graph, world)
    for kind, table in world.groups.items():
        spans = world.spans(kind).tolist()
        members = world.slots.slot(table) if by_slot else table
        for index, row in enumerate(members):
            group = f"group/{kind}/{index}"
            graph.add_node(group, kind="group", group=kind, index=index, size=table.shape[1], span=SPANS[spans[index]])
            ends = sorted(set(row.tolist())) if by_slot else row.tolist()
            graph.add_edges_from((f"{'node' if by_slot else 'rank'}/{end}", group, {"edge": "member"}) for end in ends)
    return graph


def _add_machines(graph: Graph, world: World) -> None:
    slots = world.slots
    used = -(-world.size // slots.gpus)
    graph.add_node("fabric", kind="fabric")
    for slot in range(used):
        leaf, pod = int(slots.leaf[slot]), int(slots.pod[slot])
        graph.add_node(f"node/{slot}", kind="node", slot=slot, host=slots.hosts[slot] if slots.pinned else "")
        graph.add_node(f"leaf/{leaf}", kind="leaf", name=slots.leaf_names[leaf])
        graph.add_node(f"pod/{pod}", kind="pod", name=slots.pod_names[pod])
        graph.add_edge(f"node/{slot}", f"leaf/{leaf}", edge="link")
        graph.add_edge(f"leaf/{leaf}", f"pod/{pod}", edge="link")
        graph.add_edge(f"pod/{pod}", "fabric", edge="link")


def _add_ranks(graph: Graph, world: World) -> None:
    """Ranks on GPUs; a GPU hangs on its NVLink domain and on its node."""
    ranks = np.arange(world.size, dtype=np.int64)
    places = zip(
        ranks.tolist(),
        world.slots.slot(ranks).tolist(),
        world.slots.local_rank(ranks).tolist(),
        world.slots.nvlink_domain(ranks).tolist(),
        strict=True,
    )
    for rank, slot, local, domain in places:
        gpu = f"gpu/{slot}/{local}"
        graph.add_node(f"rank/{rank}", kind="rank", rank=rank)
        graph.add_node(gpu, kind="gpu", local_rank=local)
        graph.add_node(f"domain/{domain}", kind="domain")
        graph.add_edge(f"rank/{rank}", gpu, edge="place")
        graph.add_edge(gpu, f"domain/{domain}", edge="link")
        graph.add_edge(gpu, f"node/{slot}", edge="link")


def span_of(graph: Graph, group: str) -> str:
    """The slowest link that a group crosses, by walking up from its ranks until they meet."""
    gpus = {_up(graph, rank, "gpu") for rank in graph[group]}
    if len(gpus) == 1:
        return "gpu"
    if len({_up(graph, gpu, "domain") for gpu in gpus}) == 1:
        return "nvlink"
    places = {_up(graph, gpu, "node") for gpu in gpus}
    for level, above in (("node", "leaf"), ("leaf", "pod"), ("pod", "fabric")):
        if len(places) == 1:
            return level
        places = {_up(graph, place, above) for place in places}
    return "fabric"


def _up(graph: Graph, node: str, kind: str) -> str:
    return next(other for other in graph[node] if graph.nodes[other]["kind"] == kind)


def serialised(world: World) -> bytes:
    """gzip of node-link JSON; `networkx.node_link_graph(json.load(gzip.open(path)), edges="edges")` reads it back."""
    import networkx as nx

    data = nx.node_link_data(rank_graph(world), edges="edges")
    return gzip.compress(json.dumps(data, separators=(",", ":")).encode(), mtime=0)
