"""Where bytes go: over NVLink, cards and uplinks, by kind of groups, and the link that is busy longest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Row, Section, Table, shown
from compiler.report.figures import Heat
from compiler.report.told import Number, told
from compiler.traffic.matrices import between_leaves
from compiler.words import seconds, size

REPORT, CONSOLE = (105, None)

LEAVES, RANKS = 256, 16_384
"""Of plans whose matrix of leaves is drawn."""
HEAD = (
    *("phase", "group", "span", "leaves each"),
    *("within NVLink", "within nodes", "within leaves", "between leaves", "between pods"),
    *("groups a card", "groups an uplink", "busiest link", "busy for"),
)
LINKS = {
    "nvlink": "a GPU's NVLink",
    "pcie": "a GPU's PCIe",
    "nic": "a network card",
    "leaf": "a leaf's uplinks",
    "pod": "a pod's uplinks",
}
ABOUT = (
    "Bytes that the groups of each kind send in a step, or in a forward pass of a micro-batch, by the nearest link that both"
    " ends of a message share; how many groups use the busiest card and uplink of a leaf at a time; and the kind of link that"
    " is busy longest, by its bytes over its bandwidth."
)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        rows = tuple(_row(contents, index) for index in range(len(contents["traffic"])))
        file = " `traffic.npz` has them by rank, leaf and link." * plan.config.traffic
        figures = _figures(plan) if rows else ()
        yield Section("Where traffic goes", shown([(ABOUT + file) * bool(rows), *figures, Table(HEAD, rows)]))


def _figures(plan: Plan) -> Iterator[Heat]:
    """Bytes from leaf to leaf, of each phase; where there are several leaves, and no more than can be drawn."""
    found, names = plan.only.graph.flows, plan.world.slots.leaf_names
    if found is None or not 1 < len(names) <= LEAVES or found.places.ranks > RANKS:
        return
    for phase, cells in between_leaves(found):
        yield Heat(
            name=f"traffic {phase}",
            title=f"Traffic from leaf to leaf, {phase}",
            about="A row sends and a column receives; the stronger the color, the more, on a logarithmic scale.",
            labels=names,
            rows="from",
            columns="to",
            cells=tuple(
                (row, column, Number("bytes", sent, f"traffic.npz#{phase}.leaves.{row}.{column}"))
                for row, column, sent in cells
            ),
        )


def _row(contents: Mapping[str, Any], index: int) -> Row:
    row, path = contents["traffic"][index], f"traffic.{index}"
    spans = ("nvlink", "node", "leaf", "pod", "fabric")
    sent = (told(contents, f"{path}.bytes.{span}", size) for span in spans)
    shared = (str(row["groups_per_nic"]), str(row["groups_per_uplink"]))
    where = (row["phase"], row["kind"], row["span"], str(row["leaves"]))
    return (*where, *sent, *shared, LINKS[row["bottleneck"]], told(contents, f"{path}.seconds", seconds))
