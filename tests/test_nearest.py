"""A misspelt key or name is answered with the one that it may have meant, wherever it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compiler.config.settings import meant, paths
from compiler.nearest import near, numbered
from compiler.render.assets import folder
from tests.command import program

KEYS = {
    "slurm.partition": "scheduler.slurm.partition",
    "partition": "scheduler.slurm.partition",
    "scheduler.slurm.partitoin": "scheduler.slurm.partition",
    "scheduler.jobset.topolgy": "scheduler.jobset.topology",
    "hardware.gpus": "hardware.node.gpus",
    "memory_bytes": "hardware.gpu.memory_bytes",
    "gpu.memory_bandwith": "hardware.gpu.memory_bandwidth",
    "nodes": "hardware.nodes",
    "hardware.nodez": "hardware.nodes",
    "workload.batch": "workload.global_batch_size",
    "dtype": "model.dtype or workload.precision",
    "tensor_parallel_size": "parallel.tp",
    "tp": "parallel.tp",
    "parallel.tpp": "parallel.tp",
    "precison": "workload.precision",
    "workload.seqence_length": "workload.sequence_length",
    "instances": "framework.instances",
    "modle": "model",
    "launch.enviroment": "launch.environment",
    "workload.pools.prefil.args": "workload.pools.prefill.args",
}


@pytest.mark.parametrize("key", KEYS)
def test_the_nearest_setting_is_named(key: str) -> None:
    assert meant(key).startswith(f"did you mean {KEYS[key]}")
    assert set(KEYS[key].split(" or ")) <= set(paths())


def test_no_hint_is_better_than_a_wild_one() -> None:
    assert meant("zzzz.qqqq") == meant("xyzzy") == ""


def test_names_that_begin_so_come_before_similar_ones() -> None:
    assert near("h100", ["h200", "h100_96gb", "h100_80gb"]) == ["h100_96gb", "h100_80gb"]
    assert near("slrum", ["slurm", "local"]) == ["slurm"]
    assert near("qq", ["slurm"]) == []


NAMES = {
    "hardware.node=16": "hardware.nodes",
    "model=mixtral_8x7": "model=mixtral_8x7b",
    "framework=megatron-lm": "framework=megatron",
    "parallel=ep16-tp4": "parallel=ep16_tp4",
    "model=qwen3_235b": "model=qwen3_235b_a22b",
    "hardware=h100": "hardware=h100_80gb",
    "workload=training": "workload=train",
    "framework=vlm": "framework=vllm",
    "scheduler=slrum": "slurm",
    "scheduler=[slurm,jobst]": "jobset",
    "site=slurm_dgx": "site=slurm_dgx_h100",
    "expect=moe_30": "expect=moe_30b",
    "launch=defualt": "launch=default",
    "parallel=deepseek_v3_2084": "parallel=deepseek_v3_2048",
    "hardware.calibration=h10": "h100_80gb",
    "workload.precision=bf61": "bf16",
    "workload.schedule=interleave": "interleaved",
    "framework.name=magatron": "megatron",
    "workload.pools={prefil:{},decode:{}}": "prefill",
    "workload.pools={prefill:{paralel: tp8},decode:{}}": "parallel",
    "+slurm.partition=x": "site.slurm or scheduler.slurm",
    "slurm.partition=x": "scheduler.slurm.partition",
}


@pytest.mark.parametrize("override", NAMES)
def test_the_nearest_name_is_said(override: str, tmp_path: Path) -> None:
    ran = program(override, cwd=tmp_path)
    assert ran.code == 2
    assert re.search(rf" ; did you mean {re.escape(NAMES[override])}\b", ran.err), ran.err


def test_a_section_names_its_keys(tmp_path: Path) -> None:
    ran = program("hardware.node=16", cwd=tmp_path)
    assert "hardware.node is a section of keys, and takes no value" in ran.err
    assert "hardware.node.gpus=..." in ran.err


def test_a_misspelt_key_of_a_file_is_named_whole(tmp_path: Path) -> None:
    text = folder("conf").joinpath("hardware", "h100_80gb.yaml").read_text()
    (tmp_path / "mine" / "hardware").mkdir(parents=True)
    (tmp_path / "mine" / "hardware" / "lab.yaml").write_text(text.replace("nodes_per_leaf:", "nodes_per_leef:"))
    ran = program("hardware=lab", "--config-dir", "mine", cwd=tmp_path)
    assert "hardware.fabric.nodes_per_leef is not a setting (in hardware/lab)" in ran.err
    assert " ; did you mean hardware.fabric.nodes_per_leaf?" in ran.err


def test_no_degrees_are_listed_twice(tmp_path: Path) -> None:
    listed = program("parallel=nonsense", cwd=tmp_path).err
    assert listed.count("tp8_pp4_adp16_ep8") == 1


def test_an_option_of_a_target_that_is_not_chosen_says_so(tmp_path: Path) -> None:
    ran = program("scheduler=slurm", "scheduler.jobset.queue=x", cwd=tmp_path)
    assert "the plan has no scheduler=jobset" in ran.err
    assert "add jobset to scheduler" in ran.err


@pytest.mark.parametrize(
    ("choice", "package"),
    [
        ("hydra/launcher=joblib", "hydra-joblib-launcher"),
        ("hydra/launcher=ray_aws", "hydra-ray-launcher"),
        ("hydra/sweeper=optuna", "hydra-optuna-sweeper"),
    ],
)
def test_a_missing_launcher_names_its_package(choice: str, package: str, tmp_path: Path) -> None:
    ran = program("-m", "parallel.cp=1,1", choice, cwd=tmp_path)
    assert ran.code == 2
    assert f"the package {package} is not installed ; run `pip install {package}`" in ran.err


def test_every_path_is_a_field() -> None:
    assert len(set(paths())) == len(paths()) > 150


def test_one_number_is_no_range() -> None:
    assert numbered("slot=", 1) == "write slot=0"
    assert numbered("gpu=n1/", 8) == "write gpu=n1/0 to gpu=n1/7"
