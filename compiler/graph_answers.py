"""The rank graph of a plan, and questions to it: how far a group reaches, what goes over a link, what a loss hits, who takes its place.

It is in closed form, and answers so at any size; what is asked of its nodes and edges expands it once, and walks. Tests hold the
two against each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from compiler.cluster.hosts import of_plan
from compiler.failures.closed_graph import ClosedGraph
from compiler.frozen import dataclass
from compiler.rank_graph import rank_graph
from compiler.traffic.pairs import pairs
from compiler.traffic.places import places
from compiler.traffic.streams import streams
from compiler.traffic.totals import Traffic, traffic
from compiler.world import World

if TYPE_CHECKING:
    from compiler.rank_graph import Graph

UP = ("gpu", "domain", "node", "leaf", "pod", "fabric")
"""Kinds of places, from a rank up."""
Link = tuple[str, str]
"""A place, and the one above it or, within an NVLink domain, the domain."""


@dataclass(frozen=True)
class RankGraph(ClosedGraph):
    """Of a plan as it is compiled, which also knows what its groups send."""

    layout: World

    @classmethod
    def of(cls, world: World) -> RankGraph:
        hosts = of_plan(world.config.hardware) if world.slots.pinned else ()
        return cls(world, hosts, world.config.launch.spare_nodes)

    @cached_property
    def flows(self) -> Traffic | None:
        """Bytes over every link; None where the cluster has no room for the ranks."""
        return traffic(self.layout)

    @cached_property
    def expanded(self) -> Graph:
        """As networkx holds it: docs/graph.md has its nodes and edges."""
        return rank_graph(self.layout)

    def hit(self, *lost: str) -> Mapping[str, frozenset[str]]:
        """What goes with places: their `places`, `ranks`, `groups` and `replicas`, by the ids of nodes."""
        return hit(self.expanded, lost)

    def nearest_spares(self, node: str) -> tuple[str, ...]:
        """Spares that hang nearest to a node."""
        return nearest_spares(self.expanded, node)

    def traffic(self, phase: str) -> Mapping[Link, float]:
        """Bytes that go up each link in a phase, by the path of each message. It walks pair by pair: for plans of some hundred ranks."""
        where = places(self.layout)
        if where is None:
            return {}
        made = (
            zip(*(part.tolist() for part in each), strict=True)
            for stream in streams(self.layout)[phase]
            for each in pairs(stream, where.table(stream.kind), where.stage, where.domain)
        )
        return carried(self.expanded, (pair for part in made for pair in part))


def above(graph: Graph, node: str) -> str | None:
    """The place that one hangs on, from a GPU up; the fabric hangs on none."""
    kind = graph.nodes[node]["kind"]
    at = UP.index("node" if kind == "spare" else kind)
    higher = [other for other in graph[node] if graph.nodes[other]["kind"] in UP[at + 1 :]]
    kinds = {graph.nodes[other]["kind"]: other for other in higher if graph.nodes[other]["kind"] != "domain"}
    return next((kinds[kind] for kind in UP if kind in kinds), None)


def hit(graph: Graph, lost: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Everything below places, the ranks on it, and their groups and replicas."""
    gone, waiting = dict.fromkeys(lost), deque(lost)
    while waiting:
        node = waiting.popleft()
        for other in _below(graph, node):
            if other not in gone:
                gone[other] = None
                waiting.append(other)
    ranks = [node for node in gone if graph.nodes[node]["kind"] == "rank"]
    groups = {other for rank in ranks for other in graph[rank] if graph.nodes[other]["kind"] == "group"}
    replicas = {f"replica/{graph.nodes[rank]['replica']}" for rank in ranks}
    held = [node for node in gone if graph.nodes[node]["kind"] != "rank"]
    return {
        "places": frozenset(held),
        "ranks": frozenset(ranks),
        "groups": frozenset(groups),
        "replicas": frozenset(replicas),
    }


def _below(graph: Graph, node: str) -> Iterator[str]:
    """What hangs on a place: ranks on a GPU, GPUs (or whole nodes) on an NVLink domain, everything lower on the rest."""
    kind = graph.nodes[node]["kind"]
    lower = ("gpu", "node") if kind == "domain" else (*UP[: UP.index(kind)], "spare") if kind in UP else ()
    for other in graph[node]:
        found = graph.nodes[other]["kind"]
        if (found in lower and found != "domain") or (kind == "gpu" and found == "rank"):
            yield other


def nearest_spares(graph: Graph, node: str) -> tuple[str, ...]:
    """Those of a node's NVLink domain, else of the smallest part of the network that has some beside it, in the order of the plan."""
    domains = {domain: None for gpu in graph[node] for domain in graph[gpu] if graph.nodes[domain]["kind"] == "domain"}
    found = [other for domain in domains for other in graph[domain] if graph.nodes[other]["kind"] == "spare"]
    place: str | None = node
    while not found and place is not None:
        place = above(graph, place)
        found = [] if place is None else _spares(graph, place)
    return tuple(found)


def _spares(graph: Graph, place: str) -> list[str]:
    return [other for other in _everything_below(graph, place) if graph.nodes[other]["kind"] == "spare"]


def _everything_below(graph: Graph, place: str) -> Iterator[str]:
    waiting = deque([place])
    while waiting:
        for other in _below(graph, waiting.popleft()):
            if graph.nodes[other]["kind"] in ("leaf", "pod"):
                waiting.append(other)
            yield other


def carried(graph: Graph, sent: Iterable[tuple[int, int, float]]) -> Mapping[Link, float]:
    """Bytes up each link: each message goes from its rank's GPU up to the place that both ends share, NVLink domain first."""
    found: dict[Link, float] = {}
    gpus: dict[int, str] = {}
    for source, target, count in sent:
        ends = [gpus.setdefault(rank, _gpu(graph, rank)) for rank in (source, target)]
        for link in _path(graph, *ends):
            found[link] = found.get(link, 0.0) + count
    return found


def _gpu(graph: Graph, rank: int) -> str:
    return next(other for other in graph[f"rank/{rank}"] if graph.nodes[other]["kind"] == "gpu")


def _path(graph: Graph, source: str, target: str) -> Iterator[Link]:
    """Links up from one GPU until the other one hangs on the same place."""
    domains = [
        next(other for other in graph[gpu] if graph.nodes[other]["kind"] == "domain") for gpu in (source, target)
    ]
    if domains[0] == domains[1]:
        yield source, domains[0]
        return
    one: str | None = source
    other: str | None = target
    while one is not None and other is not None and one != other:
        up, further = above(graph, one), above(graph, other)
        if up is not None:
            yield one, up
        one, other = up, further
