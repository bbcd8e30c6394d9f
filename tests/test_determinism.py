"""The same input gives the same bytes, anywhere; a plan's own config.yaml compiles to the same folder."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

import pytest
import yaml

from compiler import compile_plan
from compiler.config.load import load_config
from compiler.passes import compile_config
from compiler.render.folder import files
from tests.command import BARE, STRATEGY, call, degrees_of, program, tree
from tests.configs import changed, composed

HF = Path(__file__).parent / "data" / "hf"
QWEN = ["model.hf_config=config.json", "workload=train", "parallel=ep8_tp4_pp2_dp16", "hardware=h100_80gb"]


def hosts(count: int) -> str:
    """An inventory out of order, with a column of its own and awkward names."""
    rows = [f'node{i},"leaf ""{i // 4}"", {i % 2}",pod-é,r{i},x' for i in range(count)]
    return "host,leaf,pod,rack,note\n" + "\n".join(reversed(rows)) + "\n"


CASES = {
    "defaults": [],
    "inventory": ["hardware.inventory=hosts.csv", "graph=true"],
    "train": [BARE, *QWEN],
}


class TestElsewhere:
    @pytest.mark.parametrize("case", CASES)
    def test_another_place_time_language_and_hash_seed(self, tmp_path: Path, case: str) -> None:
        one, two = tmp_path / "one", tmp_path / "a place" / "twö"
        for folder in (one, two):
            folder.mkdir(parents=True)
            (folder / "hosts.csv").write_text(hosts(128), encoding="utf-8")
            shutil.copy(HF / "qwen3_moe.json", folder / "config.json")
        first = program(
            *CASES[case],
            cwd=one,
            PYTHONHASHSEED="1",
            TZ="UTC",
            LANG="C",
            LC_ALL="C",
            USER="a",
            HOSTNAME="a",
            COLUMNS="40",
        )
        second = program(
            "out=deep/elsewhere",
            *CASES[case],
            cwd=two,
            PYTHONHASHSEED="77",
            TZ="Asia/Kathmandu",
            LANG="C.UTF-8",
            LC_ALL="C.UTF-8",
            HOME=str(two),
            PYTHONUTF8="1",
        )
        assert (first.code, second.code) == (0, 0), first.err + second.err
        same = tree(one / "out")
        assert same == tree(two / "deep" / "elsewhere")
        assert sum(digest != "folder" for digest in same.values()) >= 7

    @pytest.mark.parametrize("path", ["plan.json", "config.yaml", "report.md", "report.html", "manifest.json"])
    def test_no_path_of_the_compiling_machine(self, strategy_folder: Path, path: str) -> None:
        text = (strategy_folder / path).read_text()
        assert str(strategy_folder.parent) not in text
        assert str(Path(__file__).parents[1]) not in text


HOSTILE = {
    "A": "${X}",
    "B": "\\${X}",
    "C": "\\\\${X} \\",
    "D": 'it\'s "quoted" `whoami` $(id) $HOME',
    "E": "two\nlines\n",
    "F": "für 模型 \U0001f600",
    "G": "1e3",
    "H": "no",
    "I": "null",
    "J": "",
    "K": " # not a comment: [a, {b}] &c *d !e % @",
    "L": "???",
    "M": "tab\there\rand return",
    "N": "0o17",
    "O": "2026-11-22",
    "P": "trailing ",
    "Q": "${oc.env:HOME}",
    "R": "\u0085\u2028\ufeff",
}


class TestConfigAgain:
    """`--config-dir FOLDER --config-name config` starts from a plan's own configuration."""

    @pytest.mark.parametrize(
        "overrides",
        [
            [],
            QWEN,
            ["hardware.inventory=sub/hosts.csv", "hardware.pin=false", "launch.spare_nodes=0"],
            ["name=mine", "launch.command=[python3,-c,'print(1)']", "launch.time_limit=01:00:00"],
            ["parallel.order=tp-cp-ep-pp-dp", "parallel=tp4_pp4_dp64_ep1"],
            ["parallel.stages=[3,5,5,3]", "parallel=ep16_tp4_pp4_dp4"],
            ["framework.instances=2", "parallel=ep8_tp4_pp4_dp4"],
            ["~expect", "parallel=tp4_pp4_adp64_ep16", "scheduler.slurm.partition='no'", "scheduler=[slurm]"],
        ],
        ids=["default", "hf_config", "inventory", "name", "order", "stages", "instances", "adp"],
    )
    def test_gives_the_same_folder(self, tmp_path: Path, overrides: list[str]) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "hosts.csv").write_text(hosts(128), encoding="utf-8")
        shutil.copy(HF / "qwen3_moe.json", tmp_path / "config.json")
        ran = call(*overrides, cwd=tmp_path)
        assert ran.code == 0, ran.err
        (plan,) = (tmp_path / "out").iterdir()
        (tmp_path / "config.json").unlink()
        shutil.rmtree(tmp_path / "sub")
        again = call("--config-dir", f"out/{plan.name}", "--config-name", "config", "out=again", cwd=tmp_path)
        assert again.code == 0, again.err
        assert tree(tmp_path / "again") == tree(tmp_path / "out")

    def test_by_config_path_too_and_changed(self, tmp_path: Path, strategy_folder: Path) -> None:
        ran = call(f"--config-path={strategy_folder}", "--config-name=config.yaml", "out=again", cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert tree(tmp_path / "again" / STRATEGY) == tree(strategy_folder)
        ran = call(
            f"--config-path={strategy_folder}",
            "--config-name=config",
            "hardware.nodes=64",
            "parallel.dp=2",
            cwd=tmp_path,
        )
        assert ran.code == 0, ran.err
        assert (tmp_path / "out" / "moe_30b_ep16_tp4_pp4_dp2").is_dir()

    def test_hostile_values_come_back_as_they_were(self, tmp_path: Path) -> None:
        (tmp_path / "launch").mkdir()
        values = {name: value.replace("${", "\\${") if name in "AQ" else value for name, value in HOSTILE.items()}
        values |= {"B": "\\\\\\${X}", "C": "\\\\\\\\\\${X} \\", "L": "x"}
        (tmp_path / "launch" / "hostile.yaml").write_text(
            yaml.safe_dump({"environment": values}, default_style='"'), encoding="utf-8"
        )
        config = load_config([BARE, "launch=hostile"], str(tmp_path))
        assert config.launch.environment == {**HOSTILE, "L": "x"}
        plan = compile_config(config)
        plan.write(tmp_path)
        again = load_config([], str(tmp_path / plan.name), "config")
        assert again == config
        texts = (
            [artifact.text for artifact in files(plan)],
            [artifact.text for artifact in files(compile_config(again))],
        )
        assert texts[0][:2] == texts[1][:2]

    def test_a_variable_on_the_command_line_is_the_text_that_was_written(self) -> None:
        texts = {
            "1e3": "1e3",
            "no": "no",
            "true": "true",
            "08": "08",
            "1_000": "1_000",
            "-1.50": "-1.50",
            "'a b'": "a b",
            "a b": "a b",
            "'null'": "null",
            "": "",
            "'=mlx5_0'": "=mlx5_0",
            "'a,b'": "a,b",
            "/a/b:c": "/a/b:c",
            r"'\${X}'": "${X}",
        }
        given = [f"launch.environment.V{i}={written}" for i, written in enumerate(texts)]
        found = load_config([BARE, "~expect", *given]).launch.environment
        assert found == {f"V{i}": text for i, text in enumerate(texts.values())}


class TestFingerprint:
    def test_is_the_plan_and_not_how_it_is_launched_or_named(self) -> None:
        def of(**changes: object) -> str:
            values = {key.replace("__", "."): value for key, value in changes.items()}
            return compile_config(changed(composed("~expect"), values)).fingerprint

        base = of()
        assert of(launch__time_limit="01:00:00", name="x", out="y", launch__environment={"A": "b"}) == base
        assert of(parallel=degrees_of("tp4_pp4_adp64_ep16")) == base
        assert of(parallel=degrees_of("tp4_pp4_dp64_ep1")) != base
        assert of(workload__output_length=10) != base
        assert of(hardware__gpu__memory_bytes=80e9) != base

    def test_an_inventory_enters_by_what_it_says(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text(hosts(128), encoding="utf-8")
        rows = hosts(128).splitlines()
        (tmp_path / "b.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n", encoding="utf-8")
        (tmp_path / "c.csv").write_text(hosts(128).replace("node7,", "spare7,"), encoding="utf-8")
        plans = [compile_plan([BARE, "~expect", f"hardware.inventory={tmp_path / name}.csv"]) for name in "abc"]
        assert plans[0].fingerprint == plans[1].fingerprint != plans[2].fingerprint
        pinned = compile_config(changed(plans[0].config, {"hardware.pin": True}))
        loose = compile_config(changed(plans[0].config, {"hardware.pin": False}))
        assert pinned.fingerprint == plans[0].fingerprint != loose.fingerprint


def test_a_folder_is_replaced_by_the_same_bytes(tmp_path: Path) -> None:
    plan = compile_plan([BARE, "~expect"])
    first = plan.write(tmp_path / "one")
    second = plan.write(tmp_path / "two")
    plan.write(tmp_path / "one")
    names = [path for path, digest in tree(first).items() if digest != "folder"]
    assert filecmp.cmpfiles(first, second, names, shallow=False) == (names, [], [])
