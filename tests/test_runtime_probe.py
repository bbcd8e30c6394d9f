"""The self-check of a rank: what it lets pass, and how it names what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler.schedulers.runtime_files import digest
from tests.plans import HOSTILE, plan, write

ECHO = "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
RANK_5 = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "NODE_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1234",
}


def probe(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the self-check of rank 5 of 8, four to a node, with `environment` on top."""
    values = {"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "node2", **RANK_5, **environment}
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / "probe.py"), *options]
    given = {key: value for key, value in values.items() if value != "UNSET"}
    return subprocess.run(command, env=given, capture_output=True, text=True, encoding="utf-8", check=False)


def line(text: str) -> str:
    """The single line of an error."""
    assert text.count("\n") == 1, text
    return text.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(plan(2, 4, environment={"NCCL_DEBUG": "INFO"}), tmp_path)


def test_a_rank_in_its_place_says_so(folder: Path) -> None:
    done = probe(folder, NCCL_DEBUG="INFO")
    assert (done.returncode, done.stderr) == (0, "")
    assert line(done.stdout) == "rankplan: rank 5 on node2 (unbound): slot 1, GPU unchecked: as planned"


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        ({"WORLD_SIZE": "16"}, 64, "WORLD_SIZE: expected 8, found 16"),
        ({"WORLD_SIZE": "UNSET"}, 64, "WORLD_SIZE: expected a number, found ''"),
        ({"RANK": "five"}, 64, "RANK: expected a number, found 'five'"),
        ({"MASTER_PORT": "UNSET"}, 64, "MASTER_PORT: expected a number, found ''"),
        ({"LOCAL_WORLD_SIZE": "8"}, 64, "LOCAL_WORLD_SIZE: expected 4, found 8"),
        ({"NODE_RANK": "2"}, 64, "NODE_RANK: expected one below 2, found 2"),
        ({"NCCL_DEBUG": "WARN"}, 64, "NCCL_DEBUG: expected 'INFO', found 'WARN'"),
        ({"NCCL_DEBUG": "UNSET"}, 64, "NCCL_DEBUG: expected 'INFO', found nothing"),
        ({"RANKPLAN_DIGEST": "0" * 64}, 64, "launch.json: expected 000"),
        ({"RANKPLAN_HOSTS": "/nowhere"}, 64, "No such file or directory: '/nowhere'"),
        ({"NODE_RANK": "0"}, 65, "slot of the rank: expected 1, found 0"),
        ({"LOCAL_RANK": "2"}, 65, "local rank: expected 1, found 2"),
    ],
)
def test_one_line_names_rank_host_expected_and_found(
    folder: Path, wrong: dict[str, str], code: int, message: str
) -> None:
    done = probe(folder, **{"NCCL_DEBUG": "INFO", **wrong})
    assert done.returncode == code
    assert line(done.stderr).startswith("rankplan: rank ")
    assert " on node2: " in done.stderr
    assert message in done.stderr


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": "other/1"}'])
def test_a_broken_launch_file_is_a_wrong_configuration(folder: Path, content: str) -> None:
    (folder / "runtime" / "launch.json").write_text(content)
    done = probe(folder, NCCL_DEBUG="INFO")
    assert done.returncode == 64
    assert "launch.json" in line(done.stderr)


def test_the_bound_host_list_decides_the_host(tmp_path: Path) -> None:
    folder = write(plan(2, 4), tmp_path)
    hosts = tmp_path / "hosts"
    hosts.write_text("node1\nnode2\n")
    assert "(bound)" in probe(folder, RANKPLAN_HOSTS=str(hosts)).stdout
    hosts.write_text("node2\nnode1\n")
    done = probe(folder, RANKPLAN_HOSTS=str(hosts))
    assert done.returncode == 65
    assert "host of slot 1: expected node1, found node2" in line(done.stderr)


def test_a_pinned_plan_refuses_a_stranger(tmp_path: Path) -> None:
    folder = write(plan(2, 4, hosts="host,leaf,pod,rack\nn1,l,p,r\nn2,l,p,r\n", pin=True), tmp_path)
    assert probe(folder, SLURMD_NODENAME="UNSET", NODE_NAME="n1").returncode == 0
    done = probe(folder, SLURMD_NODENAME="UNSET", NODE_NAME="n3")
    assert done.returncode == 65
    assert "expected one of the plan's 2, found n3" in line(done.stderr)


def fake(folder: Path, tool: str, text: str, code: int = 0) -> str:
    """A PATH on which `tool` prints `text`."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / tool).write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
    (tools / tool).chmod(0o755)
    return f"{tools}:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("tool", "text", "visible", "gpu"),
    [
        ("nvidia-smi", r"GPU-a\nGPU-b\nGPU-c\nGPU-d\n", "UNSET", "GPU-b"),
        ("nvidia-smi", r"GPU-a\nGPU-b\nGPU-c\nGPU-d\n", "3,2,1,0", "GPU-c"),
        ("nvidia-smi", r"GPU-a\nGPU-b\nGPU-c\nGPU-d\n", "GPU-d,GPU-c,GPU-b,GPU-a", "GPU-c"),
        ("rocm-smi", r"device,Unique ID\ncard0,0xa\ncard1,0xb\ncard2,0xc\ncard3,0xd\n", "UNSET", "0xb"),
    ],
)
def test_a_gpu_is_named_by_its_identity(folder: Path, tool: str, text: str, visible: str, gpu: str) -> None:
    done = probe(folder, NCCL_DEBUG="INFO", PATH=fake(folder, tool, text), CUDA_VISIBLE_DEVICES=visible)
    assert f"GPU {gpu}: as planned" in done.stdout


@pytest.mark.parametrize(
    ("text", "code", "visible", "message"),
    [
        (r"GPU-a\nGPU-b\n", 0, "UNSET", "GPUs: expected 4, found 2"),
        (r"GPU-a\nGPU-b\nGPU-c\nGPU-d\n", 0, "2", "GPUs: expected 4, found 1"),
        (r"GPU-a\nGPU-b\nGPU-c\nGPU-a\n", 0, "UNSET", "expected different ones, found GPU-a, GPU-b, GPU-c, GPU-a"),
        (r"no driver\n", 9, "UNSET", "non-zero exit status 9. no driver"),
    ],
)
def test_wrong_hardware_exits_66(folder: Path, text: str, code: int, visible: str, message: str) -> None:
    path = fake(folder, "nvidia-smi", text, code)
    done = probe(folder, NCCL_DEBUG="INFO", PATH=path, CUDA_VISIBLE_DEVICES=visible)
    assert done.returncode == 66
    assert message in line(done.stderr)
    assert probe(folder, "--cpu", NCCL_DEBUG="INFO", PATH=path).returncode == 0


def test_instances_on_one_node_take_their_own_gpus(tmp_path: Path) -> None:
    show = [sys.executable, "-c", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"]
    folder = write(plan(1, 8, instances=2, command=show), tmp_path)
    step = {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "4", "RANKPLAN_INSTANCE": "1"}
    hosts = tmp_path / "hosts"
    hosts.write_text("node2\n")
    assert probe(folder, "--slurm", **step, RANKPLAN_HOSTS=str(hosts)).stdout == "4,5,6,7\n"
    assert probe(folder, "--slurm", **step, CUDA_VISIBLE_DEVICES="7,6,5,4,3,2,1,0").stdout == "3,2,1,0\n"


def test_slurm_ranks_come_from_the_step(tmp_path: Path) -> None:
    folder = write(plan(2, 4, command=[sys.executable, "-c", ECHO]), tmp_path)
    unset = dict.fromkeys(RANK_5, "UNSET")
    step = {**unset, "MASTER_PORT": "1", "SLURM_PROCID": "6", "SLURM_LOCALID": "2", "SLURM_STEP_NUM_TASKS": "8"}
    found = json.loads(probe(folder, "--slurm", **step).stdout)[1]
    assert {key: found[key] for key in RANK_5 if key in found and not key.startswith("MASTER")} == {
        "RANK": "6", "WORLD_SIZE": "8", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "4", "NODE_RANK": "1"
    }  # fmt: skip
    done = probe(folder, "--slurm", **{**step, "SLURM_STEP_NUM_TASKS": "4"})
    assert (done.returncode, "tasks of the step: expected 8, found 4" in done.stderr) == (64, True)


def test_a_variable_is_completed_on_the_node(tmp_path: Path) -> None:
    folder = write(plan(2, 4, command=[sys.executable, "-c", ECHO]), tmp_path)
    path = folder / "runtime" / "launch.json"
    variable = {"text": "{MASTER_ADDR}:{MASTER_PORT}/{NODE_RANK}", "times": 1}
    path.write_text(json.dumps({**json.loads(path.read_text()), "computed_environment": {"COORDINATOR": variable}}))
    assert json.loads(probe(folder).stdout)[1]["COORDINATOR"] == "127.0.0.1:1234/1"


def test_a_whole_node_has_no_rank(tmp_path: Path) -> None:
    folder = write(plan(2, 4, unit="node", command=[sys.executable, "-c", ECHO]), tmp_path)
    step = {**dict.fromkeys(RANK_5, "UNSET"), "MASTER_PORT": "1"}
    step |= {"SLURM_PROCID": "1", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    found = json.loads(probe(folder, "--slurm", **step).stdout)[1]
    assert found["NODE_RANK"] == "1"
    assert not {"RANK", "LOCAL_RANK"} & set(found)


def test_command_and_environment_arrive_unchanged(tmp_path: Path) -> None:
    made = plan(2, 4, command=[sys.executable, "-c", ECHO, *HOSTILE.values()], environment=HOSTILE)
    done = probe(write(made, tmp_path), **HOSTILE)
    arguments, environment = json.loads(done.stdout)
    assert arguments == list(HOSTILE.values())
    assert {name: environment[name] for name in HOSTILE} == HOSTILE


def test_the_exit_code_is_the_commands_own(tmp_path: Path) -> None:
    assert probe(write(plan(2, 4, command=["sh", "-c", "exit 7"]), tmp_path)).returncode == 7


def test_the_command_gets_default_signals(tmp_path: Path) -> None:
    """Python ignores SIGPIPE, and would hand that down."""
    folder = write(plan(2, 4, command=["sh", "-c", "grep SigIgn /proc/$$/status"]), tmp_path)
    assert int(probe(folder).stdout.split()[1], 16) & (1 << 12) == 0


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        (
            {"command": ["no-such-program"]},
            "command 'no-such-program': expected one that can be used, found No such file",
        ),
        (
            {"command": ["true"], "workdir": "/no/such"},
            "workdir '/no/such': expected one that can be used, found No such file",
        ),
        ({"command": ["true"], "secrets": {"TOKEN": "/no/such"}}, "secret TOKEN: expected a file '/no/such', found No"),
    ],
)
def test_what_cannot_start_is_a_wrong_configuration(tmp_path: Path, launch: dict[str, Any], message: str) -> None:
    done = probe(write(plan(2, 4, **launch), tmp_path))
    assert done.returncode == 64
    assert message in line(done.stderr)


def test_a_secret_is_read_where_the_rank_runs(tmp_path: Path) -> None:
    secret = tmp_path / "a $(secret)"
    secret.write_text("s3cr3t\nlines\n")
    made = plan(2, 4, command=["sh", "-c", 'printf %s "$TOKEN"'], secrets={"TOKEN": str(secret)})
    folder = write(made, tmp_path / "plan")
    assert probe(folder).stdout == "s3cr3t\nlines"
    assert probe(folder, TOKEN="from the launcher").stdout == "from the launcher"
    assert all("s3cr3t" not in path.read_text() for path in folder.rglob("*") if path.is_file())


def test_logs_and_reports_are_a_file_a_rank(tmp_path: Path) -> None:
    folder = write(plan(2, 4, command=["sh", "-c", "echo out; echo err >&2"]), tmp_path / "plan")
    logs = tmp_path / "logs"
    logs.mkdir()
    report = tmp_path / "report"
    for _ in range(2):
        assert probe(folder, RANKPLAN_LOGS=str(logs), RANKPLAN_REPORT=str(report)).stdout == ""
    assert (logs / "rank-5.log").read_text() == "out\nerr\n" * 2
    assert [path.name for path in report.iterdir()] == ["0-rank-5.json"]
    seen = json.loads((report / "0-rank-5.json").read_text())
    assert (seen["rank"], seen["node_rank"], seen["local_rank"], seen["host"]) == (5, 1, 1, "node2")
    assert seen["environment_sha256"] == digest("")


def test_errors_after_the_logs_opened_reach_the_launcher(tmp_path: Path) -> None:
    folder = write(plan(2, 4, command=["no-such-program"]), tmp_path)
    done = probe(folder, RANKPLAN_LOGS=str(tmp_path))
    assert (done.returncode, "no-such-program" in done.stderr) == (64, True)
    assert probe(folder, RANKPLAN_LOGS=os.devnull).returncode == 64
