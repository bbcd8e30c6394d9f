"""What the fullest rank holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.words import gigabytes

PARTS = ("weights", "gradients", "optimizer", "activations", "kv_cache", "other", "total", "capacity")

REPORT, CONSOLE = (80, 20)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        memory = contents["memory"]
        rows = tuple((name.replace("_", " "), gigabytes(memory[f"{name}_bytes"])) for name in PARTS)
        total, capacity = memory["total_bytes"], memory["capacity_bytes"]
        held = f"{total / 1e9:.2f} GB of {capacity / 1e9:.4g} GB on the fullest rank ({total / capacity:.1%})"
        yield Section(
            "Memory of the fullest rank",
            (Table((f"rank {memory['worst_rank']}", "bytes"), rows),),
            lines=(("memory", held),),
        )
