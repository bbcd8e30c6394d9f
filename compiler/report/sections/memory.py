"""What the fullest rank holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.report.breakdown import AROUND
from compiler.report.figures import Bar, Bars
from compiler.report.told import Number, joined, numbered, told
from compiler.words import gigabytes

HELD = ("weights", "gradients", "optimizer", "activations", "kv_cache", "other")
PARTS = (*HELD, "total", "capacity")
OTHER = (
    "`other` is what stands beside the model: the GPU's context, libraries' workspaces and communicators' buffers, and what is"
    " gathered for a moment at the peak."
)

REPORT, CONSOLE = (80, None)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        memory = contents["memory"]
        held = [name for name in PARTS if memory[f"{name}_bytes"]]
        rows = tuple((_words(name), told(contents, f"memory.{name}_bytes", gigabytes)) for name in held)
        yield Section(
            "Memory of the fullest rank",
            (
                _figure("of the fullest rank of each stage", list(_stages(contents)), contents, "memory"),
                Table((joined("of rank ", told(contents, "memory.worst_rank")), "memory"), rows),
                OTHER,
            ),
        )
    else:
        pools = [_bar(contents, role, f"pools.{role}.memory") for role in contents["pools"]]
        first = next(iter(contents["pools"]))
        yield Section(
            "Memory", (_figure("of the fullest rank of each pool", pools, contents, f"pools.{first}.memory"),)
        )


def _stages(contents: Mapping[str, Any]) -> Iterator[Bar]:
    """A bar a stage; the interval is that of the fullest one."""
    memory = contents["memory"]
    fullest = next(row["pp"] for row in memory["stages"] if row["worst_rank"] == memory["worst_rank"])
    for row in memory["stages"]:
        path = f"memory.stages.{row['pp']}"
        bar = _bar(contents, f"stage {row['pp']}", path)
        yield _around(contents, bar, "memory") if row["pp"] == fullest else bar


def _bar(contents: Mapping[str, Any], label: str, path: str) -> Bar:
    bar = Bar(label, tuple(numbered(contents, f"{path}.{name}_bytes", _words(name)) for name in HELD))
    return _around(contents, bar, path) if path.startswith("pools") else bar


def _around(contents: Mapping[str, Any], bar: Bar, path: str) -> Bar:
    low, high = (numbered(contents, f"{path}.total_{end}_bytes", end) for end in ("low", "high"))
    return bar._replace(low=low, high=high)


def _figure(whose: str, bars: list[Bar], contents: Mapping[str, Any], path: str) -> Bars:
    limit: Number = numbered(contents, f"{path}.capacity_bytes", "capacity")
    about = f"Its parts add up, under the capacity of a GPU. {AROUND}"
    return Bars(name="memory", title=f"Memory {whose}", about=about, unit="bytes", bars=tuple(bars), limit=limit)


def _words(name: str) -> str:
    return name.replace("_", " ")
