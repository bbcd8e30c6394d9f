"""Is a node fit to use? What the preflight sees of a machine, and whom it leaves out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from compiler.specs.launch import Preflight
from compiler.specs.site import Site, SlurmSite
from tests.plans import plan, write

SMI = r"""#!/bin/sh
case $1 in
*uuid,pci*) printf 'GPU-%s-0, 00000000:01:00.0\nGPU-%s-1, 00000000:02:00.0\n' $N $N ;;
*uuid*) printf 'GPU-%s-0\nGPU-%s-1\n' $N $N ;;
*driver*) echo ${DRIVER-550.1}; echo ${DRIVER-550.1} ;;
*ecc*) echo 0; echo ${ERRORS-0} ;;
esac
"""


def tools(folder: Path) -> str:
    """A PATH with a GPU tool that shows two GPUs."""
    folder.mkdir(exist_ok=True)
    (folder / "nvidia-smi").write_text(SMI)
    (folder / "nvidia-smi").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def system(folder: Path, nics: dict[str, tuple[str, str]], gpus: tuple[str, str] = ("0", "1")) -> str:
    """A /sys with network cards (state, NUMA node) and two GPUs' NUMA nodes."""
    for name, (state, node) in nics.items():
        port, device = folder / "class/infiniband" / name / "ports/1", folder / "class/infiniband" / name / "device"
        port.mkdir(parents=True)
        device.mkdir()
        (port / "state").write_text(f"{state}\n")
        (device / "numa_node").write_text(f"{node}\n")
    for bus, node in zip(("01", "02"), gpus, strict=True):
        device = folder / "bus/pci/devices" / f"0000:{bus}:00.0"
        device.mkdir(parents=True)
        (device / "numa_node").write_text(f"{node}\n")
    return str(folder)


UP = {"mlx5_0": ("4: ACTIVE", "0"), "mlx5_1": ("4: ACTIVE", "1")}
CARDS = Site(name="test", nics=["mlx5_0", "mlx5_1"], numa=[0, 1])


def preflight(
    folder: Path, *options: str, stdin: str = "", code: int = 0, before: Sequence[str] = (), **environment: str
) -> str:
    """Run it in `folder`/run; what it says."""
    (folder / "seen").mkdir(exist_ok=True)
    (folder / "run").mkdir(exist_ok=True)
    values = {"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "node1", "N": "1", **environment}
    look = [sys.executable, "-I", "-S", str(folder / "runtime" / "preflight.py"), str(folder / "seen"), *options]
    command = [*before, *look]
    done = subprocess.run(command, env=values, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def seen(folder: Path, node: str = "node1") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "seen" / f"{node}.json").read_text())
    return found


def may_lock() -> bool:
    """Whether this process has the capability IPC_LOCK."""
    found = re.search(r"CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text())
    return found is not None and bool(int(found[1], 16) >> 14 & 1)


def unlimited() -> bool:
    import resource

    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY


def test_a_machine_without_gpu_tools_is_fit_for_a_smoke_test(tmp_path: Path) -> None:
    preflight(write(plan(1, 2, site=CARDS), tmp_path), SLURM_TOPOLOGY_ADDR="core.leaf1.node1")
    assert seen(tmp_path) == {
        "host": "node1", "address": "core.leaf1.node1", "problem": None, "versions": {}, "gpus": [], "bandwidth": None
    }  # fmt: skip


def test_a_healthy_node_tells_its_versions(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo '# Avg bus bandwidth    : 12.5 '"]
    limits = Preflight(bandwidth_command=command, bandwidth=12e9, shm_bytes=0)
    preflight(write(plan(1, 2, preflight=limits), tmp_path), PATH=tools(tmp_path / "bin"))
    found = seen(tmp_path)
    assert (found["problem"], found["gpus"], found["bandwidth"]) == (None, ["GPU-1-0", "GPU-1-1"], 12.5e9)
    assert found["versions"]["driver"] == "550.1"


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        ({"gpus": 4}, {}, "GPUs: expected 4, found 2"),
        ({}, {"CUDA_VISIBLE_DEVICES": "0,0"}, "GPUs: expected different ones, found GPU-1-0, GPU-1-0"),
        ({}, {"ERRORS": "3"}, "uncorrected memory errors: expected none, found GPU 1"),
        ({"preflight": Preflight(shm_bytes=1e18)}, {}, "free in /dev/shm: expected 1000000000000000000 bytes, found"),
        ({"secrets": {"T": "/no/such"}}, {}, "path: expected '/no/such', found nothing that can be read"),
        ({"preflight": Preflight(bandwidth_command=["echo", "5e9"], bandwidth=6e9)}, {}, "bandwidth: expected 6e+09 by"),
        ({"preflight": Preflight(bandwidth_command=["echo", "fast"])}, {}, "bandwidth: expected a number, found 'fast"),
        ({"preflight": Preflight(bandwidth_command=["echo", "1e400"])}, {}, "bandwidth: expected a finite number, found"),
        ({"preflight": Preflight(bandwidth_command=["echo", "nan"], bandwidth=1e9)}, {}, "bandwidth: expected a finite n"),
        ({"preflight": Preflight(bandwidth_command=["echo", "Avg bus bandwidth : inf"])}, {}, "bandwidth: expected a fin"),
        ({"preflight": Preflight(bandwidth_command=["sleep", "9"], timeout_s=1)}, {}, "sleep: expected an answer, found"),
        ({"preflight": Preflight(bandwidth_command=["no-such"])}, {}, "no-such: expected an answer, found [Errno 2]"),
        ({"health": ["sh", "-c", "echo a; echo b; exit 3"]}, {}, "sh: expected exit code 0, found 3 b"),
        ({"mounts": ["/no/data:/data"], "image": "/no/image"}, {}, "path: expected '/no/data'"),
    ],
)  # fmt: skip
def test_an_unfit_node_says_why(
    tmp_path: Path, given: dict[str, Any], environment: dict[str, str], message: str
) -> None:
    slurm = SlurmSite(container="apptainer" if "image" in given else "none", health_command=given.pop("health", None))
    made = plan(
        1,
        given.pop("gpus", 2),
        **{"site": Site(name="test", slurm=slurm), "preflight": Preflight(shm_bytes=0), **given},
    )
    preflight(write(made, tmp_path), code=0, PATH=tools(tmp_path / "bin"), **environment)
    assert seen(tmp_path)["problem"].startswith(message)


@pytest.mark.parametrize(
    ("nics", "message"),
    [
        (UP, None),
        ({"mlx5_0": UP["mlx5_0"]}, "network card: expected mlx5_1, found mlx5_0"),
        ({**UP, "mlx5_1": ("1: DOWN", "1")}, "port of network card mlx5_1: expected ACTIVE, found 1: DOWN"),
        ({**UP, "mlx5_1": ("4: ACTIVE", "0")}, "NUMA node of network card mlx5_1: expected 1, found 0"),
        ({**UP, "mlx5_1": ("4: ACTIVE", "-1")}, None),
    ],
)
def test_network_cards_are_held_against_the_plan(
    tmp_path: Path, nics: dict[str, tuple[str, str]], message: str | None
) -> None:
    folder = write(plan(1, 2, site=CARDS, preflight=Preflight(shm_bytes=0)), tmp_path)
    preflight(folder, RANKPLAN_SYS=system(tmp_path / "sys", nics))
    assert seen(tmp_path)["problem"] == message


@pytest.mark.skipif(unlimited(), reason="this process may lock any number of bytes")
@pytest.mark.parametrize("capable", [True, False])
def test_rdma_must_be_allowed_to_lock_memory(tmp_path: Path, capable: bool) -> None:
    if capable != may_lock() and not (may_lock() and shutil.which("setpriv")):
        pytest.skip("this process cannot change its capabilities")
    without = ["setpriv", "--bounding-set=-ipc_lock"] if may_lock() and not capable else []
    folder = write(plan(1, 2, site=CARDS, preflight=Preflight(shm_bytes=0)), tmp_path)
    preflight(folder, before=without, PATH=tools(tmp_path / "bin"), RANKPLAN_SYS=system(tmp_path / "sys", UP))
    problem = seen(tmp_path)["problem"]
    expected = "ulimit -l, memory that RDMA may lock: expected unlimited, found "
    assert problem is None if capable else problem.startswith(expected)


def pod(folder: Path, code: int = 0, **environment: str) -> str:
    """Run it as the first container of a pod; what it says."""
    values = {"PATH": "/usr/bin:/bin", "NODE_NAME": "node1", "N": "1", **environment}
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / "preflight.py"), "--pod"]
    done = subprocess.run(command, env=values, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_a_pod_is_looked_at_before_its_ranks(tmp_path: Path) -> None:
    folder = write(plan(1, 2, instances=2, preflight=Preflight(shm_bytes=0)), tmp_path)
    said = pod(folder, PATH=tools(tmp_path / "bin"))
    assert said == "rankplan: preflight on node1: 2 GPUs driver 550.1\n"
    said = pod(folder, 66, PATH=tools(tmp_path / "bin"), ERRORS="3")
    assert said.startswith("rankplan: preflight on node1: ")
    assert "uncorrected memory errors: expected none, found GPU 1" in said


def test_a_pods_bandwidth_has_a_floor(tmp_path: Path) -> None:
    measured = Preflight(bandwidth_command=["echo", "Avg bus bandwidth : 100"], bandwidth=2e11, shm_bytes=0)
    said = pod(write(plan(1, 2, preflight=measured), tmp_path), 66)
    assert said == "rankplan: preflight on node1: bandwidth: expected 2e+11 bytes/s or more, found 1e+11\n"


def test_disabled_it_only_learns_where_nodes_are(tmp_path: Path) -> None:
    folder = write(plan(1, 4, preflight=Preflight(enabled=False)), tmp_path)
    preflight(folder, PATH=tools(tmp_path / "bin"), SLURM_TOPOLOGY_ADDR="leaf.node1")
    assert seen(tmp_path) == {"host": "node1", "address": "leaf.node1", "problem": None, "versions": {}}


def answer(folder: Path, node: str, **row: Any) -> None:
    (folder / "seen").mkdir(exist_ok=True)
    contents = {"host": node, "address": node, "problem": None, "versions": {"driver": "1"}, **row}
    (folder / "seen" / f"{node}.json").write_text(json.dumps(contents))


def test_the_judge_leaves_out_who_fails_differs_or_is_silent(tmp_path: Path) -> None:
    folder = write(plan(), tmp_path)
    for node in ("n1", "n2", "n3"):
        answer(folder, node, address=f"core.leaf.{node}")
    answer(folder, "n4", problem="GPUs: expected 8, found 7")
    answer(folder, "n5", versions={"driver": "2"})
    (folder / "run").mkdir()
    (folder / "run" / "exclude").write_text("n4 failed before\n")
    said = preflight(folder, "--judge", str(folder / "run"), stdin="n1\nn2\nn3\nn4\nn5\nn6\n")
    expected = ["n5 has driver 2, most nodes have 1", "n6 gave no answer"]
    assert said.splitlines() == [f"rankplan: preflight: {line}" for line in expected]
    assert (folder / "run" / "exclude").read_text().splitlines() == ["n4 failed before", *expected]
    assert (folder / "run" / "topology").read_text().splitlines() == [f"{n} core.leaf" for n in ("n1", "n2", "n3")]


def test_the_judge_blames_no_node_where_none_answered(tmp_path: Path) -> None:
    folder = write(plan(), tmp_path)
    assert "no node answered" in preflight(folder, "--judge", str(folder / "run"), stdin="n1\nn2\n", code=66)
    assert not (folder / "run" / "exclude").exists()


def test_a_rank_is_held_against_its_card_and_numa_node(tmp_path: Path) -> None:
    folder = write(plan(1, 2, site=CARDS), tmp_path)
    rank = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "NODE_RANK": "0", "N": "1"}
    rank |= {"MASTER_PORT": "1", "PATH": tools(tmp_path / "bin"), "NCCL_IB_HCA": "=mlx5_0,mlx5_1"}
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / "probe.py")]
    for name, gpus, code, message in (
        ("good", ("0", "1"), 0, ""),
        ("bad", ("0", "0"), 66, "rank 1 on node1: NUMA node of GPU 1: expected 1, found 0"),
    ):
        values = {**rank, "SLURMD_NODENAME": "node1", "RANKPLAN_SYS": system(tmp_path / name, UP, gpus)}
        done = subprocess.run(command, env=values, capture_output=True, text=True, check=False)
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_of_a_part_of_a_node_a_pod_is_not_told_which_gpus_it_has(tmp_path: Path) -> None:
    """Two servers on a node of two GPUs: the second one's pod sees one GPU, here the node's second."""
    folder = write(plan(1, 2, instances=2, site=CARDS, scheduler=("jobset",)), tmp_path)
    rank = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "NODE_RANK": "0", "N": "1"}
    rank |= {"MASTER_PORT": "1", "PATH": tools(tmp_path / "bin"), "NCCL_IB_HCA": "=mlx5_0,mlx5_1", "NODE_NAME": "n1"}
    rank |= {"CUDA_VISIBLE_DEVICES": "1", "RANKPLAN_SYS": system(tmp_path / "sys", UP)}
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / "probe.py")]
    done = subprocess.run(command, env=rank, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
