"""Constants follow the GPU of a cluster, whatever the cluster is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler import gpus
from compiler.api import compile_plan
from compiler.config.load import load_config
from compiler.render.assets import folder

FILES = sorted((folder("conf") / "hardware").glob("*.yaml"))
TRAIN = [
    "framework=megatron",
    "workload=train",
    "model=llama3_1_8b",
    "parallel=tp8",
    "hardware.nodes=1",
    "scheduler=[]",
]
SERVE = [
    "framework=vllm",
    "framework.args=[/m]",
    "model=llama3_1_8b",
    "parallel=tp8",
    "hardware.nodes=1",
    "scheduler=[]",
]


def copied(folder: Path, called: str, like: str, **gpu: Any) -> list[str]:
    """Overrides that take a copy of a cluster file under another name."""
    source = next(file for file in FILES if file.stem == like)
    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    content |= {"name": called, "gpu": content["gpu"] | gpu}
    (folder / "hardware").mkdir()
    (folder / "hardware" / f"{called}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return [f"hardware={called}"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_our_files_are_their_own(file: Path) -> None:
    assert (
        gpus.measured_as(load_config([f"hardware={file.stem}", "hardware.nodes=128", "scheduler=[]"]).hardware)
        == file.stem
    )


@pytest.mark.parametrize("common", [TRAIN, SERVE], ids=["train", "serve"])
def test_a_copy_under_another_name_costs_the_same(tmp_path: Path, common: list[str]) -> None:
    ours = compile_plan([*common, "hardware=h100_80gb"]).to_dict()
    copy = compile_plan([*common, *copied(tmp_path, "lab", "h100_80gb")], config_dir=tmp_path).to_dict()
    assert copy["projection"] == ours["projection"]
    measured = [next(item["message"] for item in plan["checks"] if item["id"] == "measured") for plan in (ours, copy)]
    assert measured[0] == measured[1]


def test_a_copy_with_another_gpu_takes_that_ones_constants(tmp_path: Path) -> None:
    overrides = [*TRAIN, *copied(tmp_path, "lab", "h100_80gb", name="NVIDIA B200"), "hardware.calibration=h100_80gb"]
    config = load_config(overrides, str(tmp_path))
    assert gpus.measured_as(config.hardware) == "b200"
    plan = compile_plan(overrides, config_dir=tmp_path)
    [measured] = [item for item in plan.checks if item.id == "measured"]
    assert "hardware.calibration=h100_80gb: curves of another GPU than NVIDIA B200" in measured.message


@pytest.mark.parametrize(("name", "found"), [("NVIDIA H100 NVL", "h100"), ("Foo 3000", "lab")])
def test_a_gpu_that_no_file_has(tmp_path: Path, name: str, found: str) -> None:
    overrides = [*TRAIN, *copied(tmp_path, "lab", "h100_80gb", name=name)]
    assert gpus.measured_as(load_config(overrides, str(tmp_path)).hardware) == found
    [measured] = [item for item in compile_plan(overrides, config_dir=tmp_path).checks if item.id == "measured"]
    assert measured.status == "warn"
    kind = "all hopper GPUs" if found == "h100" else "all GPUs"
    assert f"hardware lab: the constants of {kind} together" in measured.message
