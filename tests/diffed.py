"""Plans that tests compare, and what they read off a comparison."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from compiler import compile_plan
from compiler.diff import side
from compiler.diff.compared import Compared, compare

DENSE = ("model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=2", "workload=train", "workload.recompute=full")
MOE = ("model=qwen3_30b_a3b", "hardware=h100_80gb", "hardware.nodes=4", "workload=train", "workload.recompute=full")
POOLS = ("model=qwen3_30b_a3b", "hardware=h100_80gb", "framework=sglang", "scheduler=[slurm,lws]", "hardware.nodes=2")
HOSTS = ["host,leaf,pod,rack", *(f"node{number},l{number // 2},p0,r0" for number in range(4))]
PLANS: dict[str, tuple[str, ...]] = {
    "dense": (*DENSE, "parallel=tp4_pp2_adp2"),
    "staged": (*DENSE, "parallel=tp4_pp2_adp2", "parallel.stages=[20,12]"),
    "reordered": (*DENSE, "parallel=tp4_pp2_adp2", "parallel.order=tp-pp-dp-cp-ep"),
    "wide": (*DENSE, "parallel=tp8_adp2"),
    "moe": (*MOE, "parallel=tp2_pp2_adp8_ep4_etp1"),
    "moe8": (*MOE, "parallel=tp2_pp2_adp8_ep8_etp1"),
    "moe16": (*MOE, "hardware.nodes=8", "parallel=tp2_pp2_adp16_ep8_etp1"),
    "pools": (*POOLS, "workload.pools={prefill: {parallel: tp8}, decode: {parallel: tp8}}"),
    "pools2": (*POOLS, "workload.pools={prefill: {parallel: tp4, instances: 2}, decode: {parallel: tp8}}"),
}
Folder = Callable[[str], Path]


def compiled_in(out: Path) -> Folder:
    """Name -> the folder of one of PLANS, compiled when it is first asked for."""

    def folder(name: str) -> Path:
        if not (out / name).exists():
            compile_plan(list(PLANS[name])).write(out, name)
        return out / name

    return folder


def compared(*paths: Path) -> Compared:
    old, new = (side.read(path, path.name) for path in paths)
    return compare(old, new)


def changes(found: Compared, topic: str) -> list[str]:
    return [f"{change.what}: {change.before} -> {change.after}" for change in found.changes if change.topic == topic]


def copied(plan: Path, place: Path, **edits: Callable[[str], str]) -> Path:
    """A copy with some files edited; a double underscore stands for a slash, a single one at the end for nothing."""
    shutil.copytree(plan, place)
    for name, edit in edits.items():
        path = place / name.replace("__", "/").replace("_dot_", ".")
        path.write_text(edit(path.read_text()))
    return place
