"""Where bytes go: over NVLink, cards and uplinks, by kind of groups, and the link that is busy longest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Row, Section, Table, shown
from compiler.words import readable, seconds

REPORT, CONSOLE = (105, 95)

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
        rows = tuple(map(_row, contents["traffic"]))
        file = " `traffic.npz` has them by rank, leaf and link." * plan.config.traffic
        yield Section("Where traffic goes", shown([(ABOUT + file) * bool(rows), Table(HEAD, rows)]))


def _row(row: Mapping[str, Any]) -> Row:
    sent = (readable(float(row["bytes"][span])) for span in ("nvlink", "node", "leaf", "pod", "fabric"))
    shared = (str(row["groups_per_nic"]), str(row["groups_per_uplink"]))
    where = (row["phase"], row["kind"], row["span"], str(row["leaves"]))
    return (*where, *sent, *shared, LINKS[row["bottleneck"]], seconds(row["seconds"]))
