"""The rank graph: ranks joined to their groups, and ranks to GPU, NVLink domain, node, leaf, pod and fabric.

Groups are nodes, not cliques: edges then grow with ranks times kinds, not with the square of a group's size.
Node ids are strings: `rank/777`, `group/ep/3`, `gpu/97/1`, `domain/12`, `node/97`, `leaf/6`, `pod/0`, `fabric`, `spare/node129`.
Above `RANK_LIMIT` ranks it is built over slots: groups join nodes, and there are no ranks and GPUs.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import numpy as np

from compiler.cluster.hosts import of_plan
from compiler.cluster.spans import SPANS
from compiler.failures.replicas import replicas
from compiler.world import World

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.Graph[str]

RANK_LIMIT = 65536


def rank_graph(world: World) -> Graph:
    """Every node has a `kind`; a group's node also has its `group` (the kind of group), `index`, `size` and `span`."""
    import networkx as nx

    graph: Graph = nx.Graph(world_size=world.size)
    by_slot = world.size > RANK_LIMIT
    _add_nodes(graph, world)
    if by_slot:
        _add_domains(graph, world)
    else:
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


def _add_nodes(graph: Graph, world: World) -> None:
    """The nodes that hold ranks, and the network above them."""
    slots = world.slots
    used = np.unique(slots.slot(np.arange(world.size, dtype=np.int64))).tolist()
    graph.add_node("fabric", kind="fabric")
    for slot in used:
        leaf, pod = int(slots.leaf[slot]), int(slots.pod[slot])
        graph.add_node(f"node/{slot}", kind="node", slot=slot, host=slots.hosts[slot] if slots.pinned else "")
        graph.add_node(f"leaf/{leaf}", kind="leaf", name=slots.leaf_names[leaf])
        graph.add_node(f"pod/{pod}", kind="pod", name=slots.pod_names[pod])
        graph.add_edge(f"node/{slot}", f"leaf/{leaf}", edge="link")
        graph.add_edge(f"leaf/{leaf}", f"pod/{pod}", edge="link")
        graph.add_edge(f"pod/{pod}", "fabric", edge="link")
    _add_spares(graph, world)


def _add_spares(graph: Graph, world: World) -> None:
    """Hosts that hold no rank, on the leaf that they hang on, which may be one that no slot is on."""
    slots, kept = world.slots, set(world.slots.spares)
    pods = {name: f"pod/{pod}" for pod, name in enumerate(slots.pod_names)}
    leaves = {
        (slots.pod_names[pod], slots.leaf_names[leaf]): f"leaf/{leaf}"
        for leaf, pod in dict(zip(slots.leaf.tolist(), slots.pod.tolist(), strict=True)).items()
    }
    every, wide = of_plan(world.config.hardware), slots.domain_gpus > slots.gpus
    used = zip(every, slots.domain.tolist(), strict=False) if wide else ()
    domains = {(host.pod, host.rack): f"domain/{domain}" for host, domain in used}
    for host in (host for host in every if host.host in kept):
        spare, pod = f"spare/{host.host}", pods.setdefault(host.pod, f"pod/{len(pods)}")
        leaf = leaves.setdefault((host.pod, host.leaf), f"leaf/{len(leaves)}")
        graph.add_node(spare, kind="spare", host=host.host)
        graph.add_node(leaf, kind="leaf", name=host.leaf)
        graph.add_node(pod, kind="pod", name=host.pod)
        graph.add_edges_from([(spare, leaf, {"edge": "link"}), (leaf, pod, {"edge": "link"})])
        graph.add_edge(pod, "fabric", edge="link")
        if (host.pod, host.rack) in domains:
            graph.add_node(domains[host.pod, host.rack], kind="domain")
            graph.add_edge(spare, domains[host.pod, host.rack], edge="link")


def _add_ranks(graph: Graph, world: World) -> None:
    """Ranks on GPUs; a GPU hangs on its NVLink domain and on its node."""
    ranks = np.arange(world.size, dtype=np.int64)
    places = zip(
        ranks.tolist(),
        world.slots.slot(ranks).tolist(),
        world.slots.local_rank(ranks).tolist(),
        world.slots.gpu(ranks).tolist(),
        world.slots.nvlink_domain(ranks).tolist(),
        world.attention.coordinate("pp").tolist(),
        replicas(world).of[: world.size].tolist(),
        strict=True,
    )
    for rank, slot, local, place, domain, stage, replica in places:
        gpu = f"gpu/{slot}/{place}"
        graph.add_node(f"rank/{rank}", kind="rank", rank=rank, stage=stage, replica=replica)
        graph.add_node(gpu, kind="gpu", local_rank=local)
        graph.add_node(f"domain/{domain}", kind="domain")
        graph.add_edge(f"rank/{rank}", gpu, edge="place")
        graph.add_edge(gpu, f"domain/{domain}", edge="link")
        graph.add_edge(gpu, f"node/{slot}", edge="link")


def _add_domains(graph: Graph, world: World) -> None:
    """Without GPUs, a node hangs on its NVLink domain, or on each of them where they are smaller than a node."""
    ranks = np.arange(world.size, dtype=np.int64)
    pairs = np.stack([world.slots.slot(ranks), world.slots.nvlink_domain(ranks)], axis=1)
    for slot, domain in np.unique(pairs, axis=0).tolist():
        graph.add_node(f"domain/{domain}", kind="domain")
        graph.add_edge(f"node/{slot}", f"domain/{domain}", edge="link")


def span_of(graph: Graph, group: str) -> str:
    """The slowest link that a group crosses, by walking up from its ranks until they meet.

    A graph over slots does not see inside a node: there a group on one node has the span that it was given.
    """
    members = set(graph[group])
    by_slot = any(graph.nodes[member]["kind"] == "node" for member in members)
    if by_slot and len(members) == 1:
        return str(graph.nodes[group]["span"])
    bottom = members if by_slot else {_up(graph, rank, "gpu") for rank in members}
    if len(bottom) == 1:
        return "gpu"
    if len({_up(graph, place, "domain") for place in bottom}) == 1:
        return "nvlink"
    places = bottom if by_slot else {_up(graph, gpu, "node") for gpu in bottom}
    for level, above in (("node", "leaf"), ("leaf", "pod"), ("pod", "fabric")):
        if len(places) == 1:
            return level
        places = {_up(graph, place, above) for place in places}
    return "fabric"


def _up(graph: Graph, node: str, kind: str) -> str:
    return next(other for other in graph[node] if graph.nodes[other]["kind"] == kind)


def serialised(world: World) -> bytes:
    """gzip of node-link JSON; `networkx.node_link_graph(json.load(gzip.open(path, "rt")), edges="edges")` reads it back."""
    import networkx as nx

    data = nx.node_link_data(rank_graph(world), edges="edges")
    return gzip.compress(json.dumps(data, separators=(",", ":")).encode(), compresslevel=6, mtime=0)
