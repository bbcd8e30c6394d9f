"""The command line: help, looks at the configuration, options anywhere, what a run prints and leaves behind."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler import cli
from compiler.config.choices import GROUPS
from tests.command import BARE, ROOT, STRATEGY, call, program, tree

ONE_GPU = [BARE, "~expect", "model=llama3_1_8b", "hardware.nodes=1", "workload.global_batch_size=8"]


@pytest.fixture(scope="module")
def help_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("help")
    ran = program("--help", cwd=folder)
    assert (ran.code, ran.err) == (0, "")
    assert not tree(folder)
    return ran.out


class TestHelp:
    def test_says_what_it_is_and_every_group_with_its_options(self, help_text: str) -> None:
        assert help_text.startswith("rankplan: ")
        assert "Usage: python -m compiler" in help_text
        for group in ("framework", "hardware", "launch", "model", "parallel", "scheduler", "site", "workload"):
            options = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
            (line,) = re.findall(rf"^{group}: (.*)$", help_text, re.MULTILINE)
            assert options <= set(line.split(", "))
        assert set(re.findall(r"^([a-z/_]+): \S", help_text.split("\n\nGroups")[1], re.MULTILINE)) == set(GROUPS)
        assert "rankplan_schema" not in help_text

    def test_fits_a_screen(self, help_text: str) -> None:
        assert len(help_text.splitlines()) <= 60
        assert "powered by Hydra" not in help_text

    def test_its_examples_compile(self, help_text: str, tmp_path: Path) -> None:
        lines = re.findall(r"^  python -m compiler((?: \S+=\S+)+)(?:  .*)?$", help_text, re.MULTILINE)
        assert len(lines) >= 2
        for line in lines:
            ran = call(*shlex.split(line), cwd=tmp_path)
            assert ran.code == 0, (line, ran.err)

    def test_names_every_option(self, help_text: str) -> None:
        for option in ("--cfg", "--config-dir", "--config-name", "--multirun", "--info", "--version", "--help"):
            assert option in help_text

    def test_is_the_same_beside_a_plan_of_ones_own(self, help_text: str, strategy_folder: Path, tmp_path: Path) -> None:
        ran = program("--config-dir", str(strategy_folder), "--config-name=config", "--help", cwd=tmp_path)
        assert (ran.code, ran.out) == (0, help_text)


class TestLooks:
    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (["--version"], r"^rankplan \d+\.\d+\.\d+$"),
            (["--cfg", "job", "parallel=tp4_pp2", "hardware.nodes=7"], r"^  nodes: 7$"),
            (["--cfg", "job", "-p", "parallel", "parallel=tp4_pp2"], r"^tp: 4$"),
            (["--info", "searchpath"], r"^\| rankplan +\| rankplan://"),
            (["--info", "defaults"], r"model/moe_30b"),
        ],
    )
    def test_print_and_leave_nothing(self, tmp_path: Path, args: list[str], said: str) -> None:
        ran = program(*args, cwd=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        assert re.search(said, ran.out, re.MULTILINE)
        assert not tree(tmp_path)

    def test_a_bad_value_is_told_in_one_line(self, tmp_path: Path) -> None:
        ran = program("--cfg", "job", "parallel=ep8_tq8", cwd=tmp_path)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("error: parallel=ep8_tq8: 'tq8' is not a degree ; write one of")

    @pytest.mark.parametrize("args", ["--cfg job", "--info defaults", "--help"])
    def test_a_reader_that_stops_reading_is_no_error(self, tmp_path: Path, args: str) -> None:
        command = f"{shlex.quote(sys.executable)} -u -m compiler {args} | head -1"
        ran = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.stderr == ""


class TestCompiling:
    def test_a_bare_command_compiles_the_strategy(self, tmp_path: Path) -> None:
        ran = program(cwd=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        assert f"plan          {STRATEGY}" in ran.out
        assert "1024 on 128 nodes x 8 GPUs" in ran.out
        assert "warning: " in ran.out
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert [path.name for path in (tmp_path / "out").iterdir()] == [STRATEGY]
        for name in ("slurm", "kubernetes", "runtime"):
            assert (tmp_path / "out" / STRATEGY / name).is_dir()

    def test_the_command_is_installed(self) -> None:
        assert (ROOT / "pyproject.toml").read_text().count('rankplan = "compiler.rankplan:main"') == 1
        with pytest.raises(SystemExit) as stopped:
            cli.main(["--version"])
        assert not stopped.value.code

    @pytest.mark.parametrize(
        "args",
        [
            ["--config-dir", "mine", *ONE_GPU, "parallel=mine"],
            [*ONE_GPU, "--config-dir", "mine", "parallel=mine"],
            [*ONE_GPU, "parallel=mine", "--config-dir=mine"],
            [*ONE_GPU, "parallel=nope", "--config-path=mine", "parallel=tp2", "parallel=mine"],
        ],
    )
    def test_options_stand_anywhere_and_the_last_override_wins(self, tmp_path: Path, args: list[str]) -> None:
        (tmp_path / "mine" / "parallel").mkdir(parents=True)
        (tmp_path / "mine" / "parallel" / "mine.yaml").write_text("tp: 8\n")
        ran = call(*args, cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert (tmp_path / "out" / "llama3_1_8b_tp8").is_dir()

    @pytest.mark.parametrize(
        ("overrides", "degrees"),
        [
            (["parallel=tp8", "parallel.tp=4", "parallel.tp=2", "parallel.dp=4"], "tp2_dp4"),
            (["parallel.tp=2", "++parallel.tp=4", "parallel=dp1", "parallel.dp=2"], "tp4_dp2"),
            (["parallel=adp2_pp4"], "pp4_dp2"),
        ],
    )
    def test_degrees_from_names_and_overrides(self, tmp_path: Path, overrides: list[str], degrees: str) -> None:
        ran = call(*ONE_GPU, *overrides, cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert [path.name for path in (tmp_path / "out").iterdir()] == [f"llama3_1_8b_{degrees}"]

    def test_an_options_file_of_ones_own(self, tmp_path: Path) -> None:
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab" / "all.yaml").write_text(
            "defaults:\n- rankplan_schema\n- _self_\n- hardware: h100_80gb\n- model: llama3_1_8b\n- parallel: tp8\n"
            "- workload: serve\n- framework: none\n- site: generic\n- launch: default\nname: mine\n"
        )
        ran = call("--config-dir=lab", "--config-name=all.yaml", "hardware.nodes=1", cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert (tmp_path / "out" / "mine" / "plan.json").is_file()

    def test_the_folder_is_replaced_whole(self, tmp_path: Path) -> None:
        small = [*ONE_GPU, "parallel=tp8", "name=mine"]
        assert call(*small, "graph=true", cwd=tmp_path).code == 0
        (tmp_path / "out" / "mine" / "notes.txt").write_text("an addition of somebody's")
        assert call(*small, cwd=tmp_path).code == 0
        left = {path.name for path in (tmp_path / "out" / "mine").iterdir()}
        assert left & {"graph.json.gz", "notes.txt"} == {"notes.txt"}

    @pytest.mark.parametrize("out", [".", "../a place/b", "{tmp}/absolute"])
    def test_out(self, tmp_path: Path, out: str) -> None:
        cwd = tmp_path / "here"
        cwd.mkdir()
        out = out.format(tmp=tmp_path)
        ran = call(*ONE_GPU, "parallel=tp8", f"out={out}", cwd=cwd)
        assert ran.code == 0, ran.err
        assert (cwd / out / "llama3_1_8b_tp8" / "manifest.json").is_file()

    def test_a_bug_keeps_its_traceback_and_exits_1(self, tmp_path: Path) -> None:
        code = (
            "import compiler.passes as p, compiler.cli as c; p.lay_out = lambda config: 1 / 0; c.main(['scheduler=[]'])"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 1
        assert "ZeroDivisionError" in ran.stderr
        assert not tree(tmp_path)

    def test_closed_streams_do_no_harm(self, tmp_path: Path) -> None:
        command = f"{shlex.quote(sys.executable)} -m compiler {shlex.join(ONE_GPU)} parallel=tp8 >&- 2>&-"
        ran = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
        )
        assert ran.returncode == 0
        assert (tmp_path / "out" / "llama3_1_8b_tp8" / "manifest.json").is_file()

    def test_a_full_standard_output_is_said_in_one_line(self, tmp_path: Path) -> None:
        with Path("/dev/full").open("w") as full:
            ran = subprocess.run(
                [sys.executable, "-m", "compiler", *ONE_GPU, "parallel=tp8"],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert ran.returncode == 4
        assert ran.stderr == "error: standard output is full ; free the space, or send it elsewhere\n"

    def test_a_terminal_gets_lines_of_their_own_too(self, tmp_path: Path) -> None:
        code = f"import pty, sys; sys.exit(pty.spawn([{sys.executable!r}, '-m', 'compiler', *sys.argv[1:]]) >> 8)"
        args = [BARE, "~expect", "-m", "parallel=tp3,ep16_tp4_pp4_dp4", "sweep=mine"]
        ran = subprocess.run(
            [sys.executable, "-c", code, *args],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "60"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 1
        assert re.search(r"error: parallel=tp3: hidden-size: .{65,}\r?\n", ran.stdout)
        assert (tmp_path / "out" / "sweeps" / "mine" / "summary.csv").is_file()

    def test_an_interrupt_is_quiet(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: Any) -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr(cli, "run", interrupt)
        ran = call(cwd=tmp_path)
        assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_help_looks_into_the_groups_of_a_folder_alone(tmp_path: Path) -> None:
    from hydra.core.object_type import ObjectType

    from compiler.config.source import FileConfigSource

    for name in ("hardware", "notes/deep/deeper", "hardware/old/older"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "hardware" / "lab.yaml").write_text("name: lab\n", encoding="utf-8")
    source = FileConfigSource("main", f"file://{tmp_path}")
    assert source.list("", ObjectType.GROUP) == ["hardware"]
    assert source.list("hardware", ObjectType.GROUP) == []
    ran = call("--help", "--config-path", str(tmp_path), cwd=tmp_path)
    assert ran.code == 0
    assert ", lab, " in ran.out
    assert "deeper" not in ran.out
