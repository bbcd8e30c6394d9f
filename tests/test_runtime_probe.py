"""The self-check of a rank: what it lets pass, and how it names what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.plans import plan, write
from tests.probes import line, probe


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
        ({"RANKPLAN_HOSTS": "/nowhere"}, 64, "/nowhere: No such file or directory"),
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
        (r"no driver\n", 9, "UNSET", "expected a list of GPUs, found exit code 9 no driver"),
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
