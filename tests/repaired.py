"""Plans that lost machines, for the tests of repair."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from compiler import compile_plan
from compiler.commands import edits, repair
from compiler.plan import Plan
from compiler.repairs.standing import Repaired, Standing, Unrepairable
from tests.command import BARE

TRAIN = (BARE, "model=llama3_1_8b", "hardware=h100_80gb", "workload=train", "framework=megatron")
FOUR = (*TRAIN, "parallel=tp4_pp4_dp4", "workload.global_batch_size=128")
"""Four replicas of two nodes, each stage of four on a node for two of them."""
Capture = pytest.CaptureFixture[str]


def hosts(tmp_path: Path, count: int, leaf: int = 4, rack: int = 2) -> str:
    rows = [f"n{i:04d},l{i // leaf},p{i // leaf // 4},r{i // rack}" for i in range(count)]
    (tmp_path / "hosts.csv").write_text("\n".join(["host,leaf,pod,rack", *rows]) + "\n")
    return f"hardware.inventory={tmp_path / 'hosts.csv'}"


def written(tmp_path: Path, *given: str) -> Path:
    return compile_plan([*given]).write(tmp_path, "plan")


def repaired(capsys: Capture, folder: Path, *losses: str) -> dict[str, Any]:
    assert repair.run([str(folder), "--json", "--lost", *losses]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def slots(folder: Path) -> list[str]:
    with (folder / "slots.csv").open() as file:
        return [row["host"] for row in csv.DictReader(file)]


def steady(folder: Path) -> None:
    """Nothing of it is edited, and compiling its configuration gives every file again."""
    assert edits.of_folder(folder) == []
    assert list(edits.again(folder, edits.compiled(folder))) == []


def planned(plan: Plan, *losses: str) -> Repaired | Unrepairable:
    standing = Standing(plan)
    return standing.without(standing.graph.lost(*losses))


def done(plan: Plan, *losses: str) -> Repaired:
    found = planned(plan, *losses)
    assert isinstance(found, Repaired)
    return found


def given_again(found: Repaired, given: list[str], tmp_path: Path) -> list[str]:
    """Overrides of a repaired plan, by hand."""
    (tmp_path / "left.csv").write_text(found.part.hardware.inventory or "")
    degrees = found.part.parallel
    return [
        *(item for item in given if not item.startswith("hardware.inventory")),
        f"hardware.inventory={tmp_path / 'left.csv'}",
        f"hardware.hosts='{','.join(found.hosts)}'",
        f"hardware.nodes={found.part.hardware.nodes}",
        f"launch.spare_nodes={found.part.launch.spare_nodes}",
        f"parallel.dp={degrees.dp}",
    ]
