"""`python -m compiler.show` as a program: its errors, its help, what it loads."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compiler import ConfigError, compile_plan
from compiler.commands.show import main, run

HOSTS = "\n".join(["host,leaf,pod,rack", *(f"node{i:03d},l,p,r" for i in range(17))])
PLANS: dict[str, tuple[str, ...]] = {
    "strategy": (),
    "dense": ("model=llama3_1_8b", "parallel=tp8_pp2", "hardware=h100_80gb", "hardware.nodes=2"),
    "bound": ("parallel=ep4_tp4_pp2_adp16", "hardware.nodes=16", "launch.spare_nodes=1"),
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of one of PLANS, compiled once."""
    out = tmp_path_factory.mktemp("errors")
    (out / "hosts.csv").write_text(HOSTS)

    def folder(name: str) -> Path:
        if not (out / name).exists():
            table = [f"hardware.inventory={out / 'hosts.csv'}"] * (name == "bound")
            compile_plan(["scheduler=[]", *PLANS[name], *table, f"name={name}"]).write(out)
        return out / name

    return folder


Folder = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("rank=1024", "rank=1024 is out of range, the plan has 1024 ; write rank=0 to rank=1023"),
        ("rank=-1", "rank=-1 is out of range, the plan has 1024 ; write rank=0 to rank=1023"),
        ("rank=x", "rank=x: 'x' is no number ; write rank=0 to rank=1023"),
        ("rank=" + "9" * 5000, "is no number ; write rank=0 to rank=1023"),
        ("slot=128", "slot=128 is out of range, the plan has 128 ; write slot=0 to slot=127"),
        ("group=ep/64", "group=ep/64 is out of range, the plan has 64 ; write group=ep/0 to group=ep/63"),
        ("group=ep", "group=ep: '' is no number ; write group=ep/0 to group=ep/63"),
        (
            "group=xp/0",
            "the plan has no groups of kind 'xp' ; write one of tp, cp, dp, dp_cp, pp, tp_pp, tp_cp, ep, etp",
        ),
        ("host=n1", "host=n1: the plan's slots are not bound to hosts ; write slot=0 to slot=127, or compile with"),
        ("777", "'777' is no query ; write rank=N, group=KIND/INDEX, host=NAME or slot=N"),
        ("rank=", "'rank=' is no query ; write rank=N"),
        ("node=1\n2", "'node=1 2' is no query ; write rank=N"),
    ],
)
def test_a_bad_query_says_what_to_ask(plan: Folder, query: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run([str(plan("strategy")), query])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("node020", "none of the plan's 17 hosts ; write host=node0"),
        ("node003.example.org", "write host=node003 or "),
        ("?", "write a host between node000 and node015"),
    ],
)
def test_an_unknown_host_lists_the_nearest(plan: Folder, host: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run([str(plan("bound")), f"host={host}"])
    assert message in str(caught.value)


def test_a_dense_plan_has_no_expert_groups(plan: Folder) -> None:
    with pytest.raises(
        ConfigError, match=r"no groups of kind 'ep' ; write one of tp, cp, dp, dp_cp, pp, tp_pp, tp_cp$"
    ):
        run([str(plan("dense")), "group=ep/0"])


def test_every_bad_query_is_listed_and_nothing_is_printed(plan: Folder, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(plan("strategy")), "rank=0", "rank=9999", "slot=9999"])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert [line.split(" is ")[0] for line in err.splitlines()] == ["error: rank=9999", "error: slot=9999"]


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    def apply(folder: Path) -> None:
        contents = json.loads((folder / "plan.json").read_text())
        change(contents)
        (folder / "plan.json").write_text(json.dumps(contents))

    return apply


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "plan.json").unlink(), "is no plan folder: it has no plan.json"),
        (lambda folder: (folder / "slots.csv").unlink(), "is no plan folder: it has no slots.csv"),
        (lambda folder: (folder / "config.yaml").unlink(), "is no plan folder: it has no config.yaml"),
        (lambda folder: (folder / "plan.json").write_text("{"), "plan.json is not JSON: Expecting property name"),
        (lambda folder: (folder / "plan.json").write_text("[" * 99999), "plan.json is not JSON"),
        (
            lambda folder: (folder / "plan.json").write_bytes(b"\xff"),
            "plan.json line 1 holds the byte 0xff, which is not UTF-8",
        ),
        (lambda folder: (folder / "plan.json").write_text("[]"), "plan.json holds no JSON object"),
        (lambda folder: (folder / "slots.csv").write_text("slot,host\n0,\n"), "has no column leaf, pod"),
        (lambda folder: (folder / "slots.csv").write_text("slot,host,leaf,pod\n0,,0,0\n"), "1 slots, plan.json 128"),
        (lambda folder: (folder / "config.yaml").write_text("a: ["), "config.yaml is no YAML"),
        (lambda folder: (folder / "config.yaml").write_text("a: 1"), "config.yaml has no hardware"),
        (lambda folder: (folder / "config.yaml").write_text("hardware: {}"), "KeyError 'nvlink'"),
        (edit(lambda plan: plan.update(schema="rankplan/9")), "has schema rankplan/9, this program reads rankplan/1"),
        (edit(lambda plan: plan.pop("grids")), "does not hold a whole plan: KeyError 'grids'"),
        (edit(lambda plan: plan.update(world_size=7)), "a grid of 1024 ranks up to 1023 for a world of 7"),
        (edit(lambda plan: plan["grids"]["expert"][0].update(stride=2)), "a grid of 1024 ranks up to 1026"),
        (edit(lambda plan: plan["stages"].pop()), "3 stages for a pp axis of 4"),
        (edit(lambda plan: plan["experts"]["blocks"].pop()), "15 blocks of experts in 4 stages for an ep axis of 16"),
        (edit(lambda plan: plan["slots"].update(gpus=0)), "0 GPUs a node"),
        (edit(lambda plan: plan["slots"].update(gpus=4)), "1024 x 1 ranks on 128 slots of 4 GPUs"),
        (edit(lambda plan: plan.update(instances=0)), "0 instances"),
        (edit(lambda plan: plan["memory"]["stages"][1].pop("total_bytes")), "memory.stages[1] lacks a number"),
        (edit(lambda plan: plan.pop("name")), "it has no name"),
        (edit(lambda plan: plan["communication"][2].pop("seconds")), "communication[2] lacks a value"),
    ],
)
def test_a_broken_folder_is_refused(
    plan: Folder, capsys: Capture, tmp_path: Path, harm: Callable[[Path], Any], message: str
) -> None:
    folder = shutil.copytree(plan("strategy"), tmp_path / "plan")
    harm(folder)
    with pytest.raises(SystemExit) as ended:
        main([str(folder), "rank=0"])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert " ; " in err


def test_a_folder_of_plans_names_them(tmp_path: Path) -> None:
    for name in "dacb":
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.json").touch()
    with pytest.raises(ConfigError) as caught:
        run([str(tmp_path), "rank=0"])
    assert str(caught.value).endswith(f"; write {tmp_path}/a or {tmp_path}/b or {tmp_path}/c")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "command line: the following arguments are required: PLAN"),
        (["out"], "nothing is asked ; write rank=N, group=KIND/INDEX, host=NAME or slot=N"),
        (
            ["out", "rank=0", "--foo"],
            "command line: unrecognized arguments: --foo ; see `python -m compiler.show --help`",
        ),
    ],
)
def test_a_bad_command_line(args: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(args)
    assert message in str(caught.value)


def test_help_is_short(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "rank=N, group=KIND/INDEX, host=NAME or slot=N" in out
    assert out.count("\n") < 20


def test_a_program_of_its_own_loads_nothing_heavy(plan: Folder) -> None:
    code = (
        "import runpy, sys\n"
        "try:\n    runpy.run_module('compiler.show', run_name='__main__')\n"
        "finally:\n    print(sorted({'hydra', 'omegaconf', 'jinja2', 'networkx', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(plan("strategy")), "rank=0"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_leaves_early_is_no_error(plan: Folder) -> None:
    command = [sys.executable, "-m", "compiler.show", str(plan("strategy")), "--all", *["group=etp_ep_pp/0"] * 40]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
