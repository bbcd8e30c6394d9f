"""What a launcher with hot spares does about a loss: it numbers nodes anew, where a repair moves those alone that are lost.

The rule is that of NVRx 0.7 (its rendezvous with --ft-segment): NVLink domains by their smallest node, of each as many whole segments
as it has, the rest on standby, and node numbers given from 0; without a segment nodes in the order in which they join. A node is
renumbered where its number is not the one that it had.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def numbered(domains: Sequence[int], segment: int | None, count: int, gone: Collection[int] = ()) -> list[int]:
    """The first `count` nodes in the order of their numbers. `domains`: that of each node, in the order in which nodes join."""
    members: dict[int, list[int]] = {}
    for node, domain in enumerate(domains):
        if node not in gone:
            members.setdefault(node if segment is None else domain, []).append(node)
    size = segment or 1
    return [node for nodes in sorted(members.values()) for node in nodes[: len(nodes) // size * size]][:count]


def renumbered(domains: Sequence[int], segment: int | None, count: int, gone: Collection[int]) -> int:
    """Nodes of a job of `count` that get another number when some are gone."""
    before, after = numbered(domains, segment, count), numbered(domains, segment, count, gone)
    return sum(at >= len(after) or before[at] != after[at] for at in range(len(before)))
