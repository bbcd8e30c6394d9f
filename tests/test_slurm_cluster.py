"""The batch script on a real Slurm: places, values, exit codes and signals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.specs.launch import Preflight
from tests import slurm_cluster
from tests.plans import HOSTILE, SmallPlan, write
from tests.slurm_cluster import Cluster, quick, submit, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm-small")]

NODES = [f"node{i:03d}" for i in range(1, 7)]
INTERLEAVED = "host,leaf,pod,rack\n" + "".join(f"{host},leaf{i % 2},p,r\n" for i, host in enumerate(NODES))
BY_LEAF = ["node001", "node003", "node005", "node002", "node004", "node006"]
IN_BLOCKS = ["node001", "node003", "node002", "node004"]
"""The same with two nodes of a leaf for two slots of a leaf: the third of each is a spare."""
SHOW = ["/usr/bin/env", "python3", "-c", "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Six nodes of four GPUs, on two leaves by turns."""
    yield from slurm_cluster.start(6, 4, leaves=2)


@pytest.mark.parametrize(
    ("made", "slots", "how"),
    [
        (quick(4, 4, hosts=INTERLEAVED, pin=True, spare_nodes=2), BY_LEAF[:4], "the plan"),
        (quick(4, 4, hosts=INTERLEAVED, spare_nodes=2), IN_BLOCKS, "the plan's inventory"),
        (quick(4, 4, spare_nodes=2), IN_BLOCKS, "the cluster's topology"),
    ],
)
def test_every_rank_runs_where_the_plan_says(
    cluster: Cluster, tmp_path: Path, made: SmallPlan, slots: list[str], how: str
) -> None:
    """Leaves are interleaved, so Slurm's own order would be wrong at every second node."""
    job = submit(cluster, made, tmp_path, RANKPLAN_REPORT=str(tmp_path / "report"))
    assert job.code == 0, job.output
    rows = [json.loads(path.read_text()) for path in (tmp_path / "report").iterdir()]
    found = {row["rank"]: (row["host"], row["node_rank"], row["local_rank"]) for row in rows}
    assert found == {rank: (slots[rank // 4], rank // 4, rank % 4) for rank in range(16)}
    assert job.lines("hosts") == slots
    assert sorted(job.lines("spares")) == sorted(set(NODES) - set(slots))
    assert f"4 hosts in slots, ordered by {how}; spare: " in job.output
    assert job.output.count(": as planned\n") == 16


def test_values_and_paths_arrive_unchanged(cluster: Cluster, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cr3t $(id)\n")
    made = quick(
        2, 4, environment=HOSTILE, command=[*SHOW, *HOSTILE.values()], secrets={"TOKEN": str(secret)},
        workdir=str(tmp_path), options={"comment": "a \"b\" \\ $(id) 'c' #d, é"},
    )  # fmt: skip
    folder = tmp_path / "a \"b\" 'c' $(id) %j \\ é,\n x"
    write(made, folder)
    submitted = tmp_path / "sub 'mit' \"\" $(id) é,"
    job = cluster.submit(folder / "slurm" / "job.sbatch", submitted, "--export=LEAKED=yes,RANKPLAN_KEPT=yes")
    assert cluster.exit_code(job) == 0
    run = submitted / f"rankplan-{job}"
    logs = sorted((run / "logs" / "attempt-0" / "instance-0").glob("rank-*.log"))
    assert len(logs) == 8
    for path in logs:
        arguments, environment = json.loads(path.read_text())
        assert arguments == list(HOSTILE.values())
        assert {name: environment[name] for name in HOSTILE} == HOSTILE
        assert environment["RANKPLAN_PLAN"] == str(run / f"plan-{job}")
        assert environment["TOKEN"] == "s3cr3t $(id)"
        assert (environment.get("LEAKED"), environment["RANKPLAN_KEPT"]) == (None, "yes")
        assert environment["TORCH_FR_DUMP_TEMP_FILE"] == str(run / "flight-recorder" / "attempt-0" / "rank_")
        assert environment["TORCH_NCCL_DEBUG_INFO_TEMP_FILE"] == environment["TORCH_FR_DUMP_TEMP_FILE"]
    assert (run / "logs" / "latest").resolve() == run / "logs" / "attempt-0"
    assert "Comment=a \"b\" \\ $(id) 'c' #d, é" in cluster.run("scontrol", "show", "job", job)


@pytest.mark.parametrize(
    ("nodes", "instances", "unit", "slots"),
    [
        (4, 2, "rank", [[0, 0, 0, 0, 1, 1, 1, 1], [2, 2, 2, 2, 3, 3, 3, 3]]),
        (2, 4, "rank", [[0, 0], [0, 0], [1, 1], [1, 1]]),
        (2, 1, "node", [[0, 1]]),
    ],
)
def test_instances_and_whole_nodes(
    cluster: Cluster, tmp_path: Path, nodes: int, instances: int, unit: str, slots: list[list[int]]
) -> None:
    hold = [*SHOW[:3], f"{SHOW[3]}; import time; time.sleep(2)"]  # so that they really run side by side
    job = submit(cluster, quick(nodes, 4, instances=instances, unit=unit, command=hold), tmp_path)
    assert job.code == 0, job.output
    ports, hosts = set(), job.lines("hosts")
    for instance, expected in enumerate(slots):
        rows = [json.loads(text)[1] for text in job.logs(instance=instance)]
        assert [row["SLURMD_NODENAME"] for row in rows] == [hosts[slot] for slot in expected]
        ranks = [str(i) for i in range(len(rows))] if unit == "rank" else [None] * nodes
        assert [row.get("RANK") for row in rows] == ranks
        visible = {row["CUDA_VISIBLE_DEVICES"] for row in rows}
        assert visible == ({"0,1", "2,3"} if instances == 4 else {"0,1,2,3"}) & visible
        assert {row["RANKPLAN_INSTANCE"] for row in rows} == {str(instance)}
        ports |= {row["MASTER_PORT"] for row in rows}
    assert len(ports) == instances


@pytest.mark.parametrize(
    ("command", "code"),
    [("((RANK != 5)) || exit 7; sleep 60", 7), ("((RANK != 5)) || kill -KILL $$; sleep 60", 137)],
)
def test_the_jobs_exit_code_is_the_failing_ranks(cluster: Cluster, tmp_path: Path, command: str, code: int) -> None:
    job = submit(cluster, quick(2, 4, command=["bash", "-c", command]), tmp_path)
    assert job.code == code, job.output
    host = job.lines("hosts")[1]
    assert f"attempt 0 failed, instance 0: rank 5 on {host} ended first, with exit code {code}; see " in job.output
    failure = {"instance": 0, "code": code, "who": f"rank 5 on {host}", "host": host}
    assert [row["failures"] for row in job.attempts] == [[failure]]


def test_a_plan_that_changed_is_not_started(cluster: Cluster, tmp_path: Path) -> None:
    write(quick(1, 4), tmp_path / "plan")
    launch = tmp_path / "plan" / "runtime" / "launch.json"
    launch.write_text(launch.read_text().replace('"world_size": 4', '"world_size": 8'))
    job = cluster.submit(tmp_path / "plan" / "slurm" / "job.sbatch", tmp_path / "submit")
    assert cluster.exit_code(job) == 64
    output = (tmp_path / "submit" / f"rankplan-{job}.out").read_text()
    assert "runtime/launch.json: FAILED" in output
    assert "files of the plan differ from those that were compiled" in output


def test_a_script_that_was_moved_out_of_its_folder_says_so(cluster: Cluster, tmp_path: Path) -> None:
    folder = write(quick(1, 4), tmp_path / "plan")
    shutil.copy(folder / "slurm" / "job.sbatch", tmp_path / "alone.sh")
    job = cluster.submit(tmp_path / "alone.sh", tmp_path / "submit")
    assert cluster.exit_code(job) == 64
    output = (tmp_path / "submit" / f"rankplan-{job}.out").read_text()
    assert f"{tmp_path}/alone.sh is not <folder>/slurm/job.sbatch" in output


@pytest.mark.parametrize("name", ["USR1", "TERM"])
def test_signals_to_the_batch_script_reach_the_ranks(cluster: Cluster, tmp_path: Path, name: str) -> None:
    command = f"trap 'echo {name}; exit 3' {name}; echo ready; while true; do sleep 0.1; done"
    job = submit(cluster, quick(2, 4, command=["bash", "-c", command]), tmp_path)
    job.await_logs("ready\n")
    cluster.run("scancel", "--batch", "--signal", name, job.job)
    assert job.code == 3, job.output
    assert [text.count(f"\n{name}\n") for text in job.logs()] == [1] * 8


@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (("--ntasks=8 \\", "--ntasks=7 \\"), 64, "tasks of the step: expected 8, found 7"),
        (("  NCCL_DEBUG=INFO", "  NCCL_DEBUG=WARN"), 64, "NCCL_DEBUG: expected 'INFO', found 'WARN'"),
        (('SLURM_HOSTFILE="$run/hostfile.$instance"', 'SLURM_HOSTFILE=<(tac "$run/hostfile.0")'), 65, "host of slot"),
    ],
)
def test_each_kind_of_difference_is_named_in_a_line(
    cluster: Cluster, tmp_path: Path, edit: tuple[str, str], code: int, message: str
) -> None:
    """A script that was changed by hand does not run on other ranks, values or nodes than planned."""
    job = submit(cluster, quick(2, 4, environment={"NCCL_DEBUG": "INFO"}, max_restarts=0), tmp_path, edit)
    assert job.code == code, job.output
    said = [line for line in job.output.splitlines() if message in line]
    assert said
    assert all(line.startswith("rankplan: rank ") for line in said)


def test_two_views_of_one_gpu_are_found(cluster: Cluster, tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nprintf 'GPU-a\\nGPU-b\\nGPU-c\\nGPU-a\\n'\n")
    tool.chmod(0o755)
    path = f"{tool.parent}:/usr/bin:/bin"
    for enabled in (True, False):  # the preflight, and without it each rank
        given: dict[str, Any] = {"preflight": Preflight(enabled=enabled)}
        job = submit(cluster, quick(2, 4, **given), tmp_path / str(enabled), PATH=path)
        assert job.code == 66, job.output
        assert "GPUs: expected different ones, found GPU-a, GPU-b, GPU-c, GPU-a" in job.output


LEAKS = {
    "SLURM_GPUS_PER_TASK": "1",
    "SLURM_CPU_BIND": "map_cpu:0",
    "SLURM_NTASKS_PER_CORE": "1",
    "SLURM_THREADS_PER_CORE": "1",
    "SLURM_MEM_PER_CPU": "1",
    "SLURM_TRES_BIND": "gres/gpu:single:1",
    "SLURM_EXCLUSIVE": "user",
    "SLURM_WAIT": "1",
    "SLURM_SPREAD_JOB": "yes",
}
"""What srun takes for its own options, one of each kind: devices, binding, layout, memory, order, waiting."""


def test_options_of_the_submitting_shell_reach_no_rank(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LEAKS.items():
        monkeypatch.setenv(name, value)
    job = submit(cluster, quick(2, 4, command=SHOW), tmp_path)
    assert job.code == 0, job.output
    found = [json.loads(text)[1] for text in job.logs()]
    assert [environment["LOCAL_RANK"] for environment in found] == [str(rank % 4) for rank in range(8)]
    given = {(name, environment[name]) for environment in found for name in LEAKS if name in environment}
    assert not given & set(LEAKS.items())
    assert "CUDA_VISIBLE_DEVICES" not in found[1] or found[1]["CUDA_VISIBLE_DEVICES"].count(",") == 3


def test_gpus_by_task_are_refused_before_ranks_start(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_GPUS_PER_TASK", "1")
    job = submit(cluster, quick(2, 4, command=SHOW), tmp_path)
    assert job.code == 64
    assert "the job asks for GPUs by task or socket" in job.output


def test_each_task_of_an_array_is_a_job_of_the_whole_plan(cluster: Cluster, tmp_path: Path) -> None:
    """One after the other; each with its own run folder, and the array's number in its ranks' environment."""
    job = submit(cluster, quick(6, 1, command=SHOW, options={"array": "0-1%1"}), tmp_path)
    until(lambda: len(list(job.folder.glob("rankplan-*/summary.json"))) == 2, "both tasks to run", 120)
    ended = '["finished", "finished"]'
    until(lambda: json.dumps([_outcome(run) for run in sorted(job.folder.glob("rankplan-*/"))]) == ended, ended, 60)
    tasks = [
        json.loads(next(run.glob("logs/attempt-0/instance-0/rank-0.log")).read_text())[1]["SLURM_ARRAY_TASK_ID"]
        for run in job.folder.glob("rankplan-*/")
    ]
    assert sorted(tasks) == ["0", "1"]


def _outcome(run: Path) -> str:
    return str(json.loads((run / "summary.json").read_text())["attempts"][0].get("outcome"))
