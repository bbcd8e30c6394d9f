"""The batch script: as text, and submitted to a real Slurm."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.specs.site import Site, SlurmSite
from tests import slurm_cluster
from tests.fake_slurm import batch
from tests.plans import HOSTILE, SmallPlan, files, plan, write
from tests.slurm_cluster import Cluster

NODES = [f"node{i:03d}" for i in range(1, 7)]
INTERLEAVED = "host,leaf,pod,rack\n" + "".join(f"{host},leaf{i % 2},p,r\n" for i, host in enumerate(NODES))
BY_LEAF = ["node001", "node003", "node005", "node002", "node004", "node006"]
SHOW = ["python3", "-c", "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"]


def script(made: SmallPlan) -> str:
    return str(files(made)["slurm/job.sbatch"].text)


def directives(made: SmallPlan) -> dict[str, str]:
    """Name -> value of the #SBATCH lines, which stand before the first command."""
    head = script(made).split("\nset -Eeuo", 1)[0].splitlines()
    lines = [line.removeprefix("#SBATCH --") for line in head if line.startswith("#SBATCH --")]
    assert script(made).count("#SBATCH") == len(lines)
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_directives_ask_for_the_plans_nodes() -> None:
    found = directives(plan(4, 8, spare_nodes=2, name="a.b"))
    expected = {"job-name": "a.b", "nodes": "6", "ntasks-per-node": "8", "gpus-per-node": "8", "mem": "0"}
    expected |= {"time": "24:00:00", "signal": "B:USR1@120", "open-mode": "append", "export": "NONE"}
    expected |= {"exclusive": "", "requeue": "", "output": "rankplan-%j.out", "wait-all-nodes": "1"}
    assert found == expected


@pytest.mark.parametrize(
    ("given", "expected", "absent"),
    [
        ({"site": SlurmSite("gres", "gpu:h100")}, {"gres": "gpu:h100:8"}, {"gpus-per-node"}),
        ({"site": SlurmSite("none", exclusive=False, all_memory=False)}, {}, {"gres", "gpus-per-node", "mem", "exclusive"}),
        ({"site": SlurmSite(cpus_per_gpu=12)}, {"cpus-per-task": "12"}, set()),
        ({"site": SlurmSite(cpus_per_gpu=12), "unit": "node"}, {"cpus-per-task": "96", "ntasks-per-node": "1"}, set()),
        ({"max_restarts": 0, "checkpoint_signal_s": 0}, {"no-requeue": ""}, {"requeue", "signal"}),
        ({"options": {"partition": "h100", "comment": 'a "b" #c'}}, {"partition": "h100", "comment": '"a \\"b\\" #c"'}, {"account"}),
        ({"instances": 4}, {"nodes": "2", "ntasks-per-node": "8"}, set()),
    ],
)  # fmt: skip
def test_directives_follow_the_site_and_the_launch(
    given: dict[str, Any], expected: dict[str, str], absent: set[str]
) -> None:
    if "site" in given:
        given = {**given, "site": Site(name="test", slurm=given["site"])}
    found = directives(plan(**given))
    assert expected.items() <= found.items()
    assert not absent & set(found)


def test_a_pinned_plan_requires_its_hosts() -> None:
    made = plan(4, 4, hosts=INTERLEAVED, pin=True, spare_nodes=2)
    assert directives(made)["nodelist"] == ",".join(BY_LEAF)
    assert directives(made)["nodes"] == "6"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"options": {"comment": "a\nb"}}, r"scheduler.slurm.comment holds 'a\\nb', and a directive .* ; write it on"),
        ({"options": {"partition": " "}}, "scheduler.slurm.partition holds ' '"),
        (
            {"secrets": {"T": {"secret": "s", "key": "k"}}},
            "launch.secrets.T is a Kubernetes Secret, which scheduler=sl",
        ),
        ({"checkpoint_signal_s": 70000}, "launch.checkpoint_signal_s=70000 is above Slurm's limit of 65535 s"),
        ({"name": "a\nb"}, r"a Slurm directive cannot carry 'a\\nb'"),
    ],
)
def test_what_slurm_cannot_carry_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        files(plan(**given))


def test_secrets_are_paths_only() -> None:
    made = plan(secrets={"TOKEN": "/home/me/token"})
    assert "TOKEN" not in script(made)
    assert json.loads(str(files(made)["runtime/launch.json"].text))["secrets"] == {"TOKEN": "/home/me/token"}


@pytest.mark.parametrize(
    "made",
    [
        plan(environment=HOSTILE, command=["a", *HOSTILE.values()], python="a 'b' $c", options={"comment": "'\"$(id)"}),
        plan(4, 4, hosts=INTERLEAVED, spare_nodes=2, unit="node"),
        plan(2, 8, instances=4),
    ],
)
def test_the_script_is_clean(made: SmallPlan, tmp_path: Path) -> None:
    path = write(made, tmp_path) / "slurm" / "job.sbatch"
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert shutil.which("shellcheck")
    done = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def reports(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("known", "address", "master"),
    [(["node001"], "10.0.0.1", "node001:10007"), (["10.0.0.1"], "10.0.0.1", "10.0.0.1:10007")],
)
def test_ranks_follow_the_topology_without_a_slurm(tmp_path: Path, known: list[str], address: str, master: str) -> None:
    made = plan(4, 2, hosts=INTERLEAVED, spare_nodes=2)
    folder = write(made, tmp_path / "p %j \\ 'a' \"b\" $(id)\nx")
    submit = tmp_path / "s %j \\ 'a' \"b\" $(id) é"
    done = batch(folder / "slurm" / "job.sbatch", submit, NODES, known, address)
    assert done.returncode == 0, done.stderr
    found = {row["rank"]: (row["host"], row["node_rank"], row["local_rank"]) for row in reports(submit / "report")}
    assert found == {rank: (BY_LEAF[rank // 2], rank // 2, rank % 2) for rank in range(8)}
    assert {row["master"] for row in reports(submit / "report")} == {master}


@pytest.mark.parametrize(
    ("given", "run", "code", "message"),
    [
        ({}, {"known": []}, 64, "neither node001, the host of rank 0, nor its NodeAddr 'x' resolves"),
        ({}, {"hosts": ["node001"]}, 65, "the plan needs 2 hosts, the allocation has 1"),
        ({}, {"hosts": ["node001", "other"]}, 65, "not in the plan's inventory, so in no known place: other"),
        ({"max_restarts": 2}, {"restarts": 3}, 1, "this job was restarted 3 times; launch.max_restarts is 2"),
        ({"command": ["no-such"]}, {}, 64, "command 'no-such': expected one that can be used, found No such file"),
        ({"command": ["bash", "-c", "exit 7$RANK"]}, {}, None, "ended first, with exit code 7"),
    ],
)
def test_a_job_that_cannot_run_says_why(
    tmp_path: Path, given: dict[str, Any], run: dict[str, Any], code: int | None, message: str
) -> None:
    script = write(plan(2, 2, hosts=INTERLEAVED, **given), tmp_path / "plan") / "slurm" / "job.sbatch"
    done = batch(script, tmp_path / "sub", **{"hosts": NODES[:2], "known": ["node001"], "address": "x", **run})
    assert done.returncode == code if code else done.returncode in range(70, 74)
    assert message in done.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    yield from slurm_cluster.start()


def submit(cluster: Cluster, made: SmallPlan, folder: Path, **environment: str) -> tuple[str, Path]:
    """Submit from `folder`/submit; the job and its run folder."""
    write(made, folder / "plan")
    export = [f"--export={','.join(f'{name}={value}' for name, value in environment.items())}"] if environment else []
    job = cluster.submit(folder / "plan" / "slurm" / "job.sbatch", folder / "submit", *export)
    return job, folder / "submit" / f"rankplan-{job}"


def output(folder: Path, job: str) -> str:
    return (folder / "submit" / f"rankplan-{job}.out").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("pin", [False, True])
def test_every_rank_runs_where_the_plan_says(cluster: Cluster, tmp_path: Path, pin: bool) -> None:
    """Leaves are interleaved, so Slurm's own order would be wrong at every second node."""
    made = plan(4, 4, hosts=INTERLEAVED, pin=pin, spare_nodes=2)
    job, run = submit(cluster, made, tmp_path, RANKPLAN_REPORT=str(tmp_path / "report"))
    assert cluster.exit_code(job) == 0, output(tmp_path, job)
    found = {row["rank"]: (row["host"], row["node_rank"], row["local_rank"]) for row in reports(tmp_path / "report")}
    assert found == {rank: (BY_LEAF[rank // 4], rank // 4, rank % 4) for rank in range(16)}
    assert (run / "hosts").read_text().split() == BY_LEAF[:4]
    assert (run / "spares").read_text().split() == BY_LEAF[4:]
    assert output(tmp_path, job).count(": as planned\n") == 16


@pytest.mark.slow
def test_values_and_paths_arrive_unchanged(cluster: Cluster, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cr3t $(id)\n")
    made = plan(
        2, 4, environment=HOSTILE, command=[*SHOW, *HOSTILE.values()], secrets={"TOKEN": str(secret)},
        workdir=str(tmp_path), options={"comment": "a \"b\" \\ $(id) 'c' #d, é"},
    )  # fmt: skip
    folder = tmp_path / "a \"b\" 'c' $(id) %j \\ é,\n x"
    write(made, folder)
    job = cluster.submit(folder / "slurm" / "job.sbatch", tmp_path / "sub 'mit' \"\" $(id) é,")
    run = tmp_path / "sub 'mit' \"\" $(id) é," / f"rankplan-{job}"
    assert cluster.exit_code(job) == 0
    logs = sorted((run / "logs" / "attempt-0" / "instance-0").glob("rank-*.log"))
    assert len(logs) == 8
    for path in logs:
        arguments, environment = json.loads(path.read_text())
        assert arguments == list(HOSTILE.values())
        assert {name: environment[name] for name in HOSTILE} == HOSTILE
        assert environment["RANKPLAN_PLAN"] == str(folder)
        assert environment["TOKEN"] == "s3cr3t $(id)"
        assert environment["PWD" if "PWD" in environment else "SLURM_JOB_ID"]
    assert "Comment=a \"b\" \\ $(id) 'c' #d, é" in cluster.run("scontrol", "show", "job", job)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "instances", "unit", "hosts"),
    [
        (4, 2, "rank", [["node001"] * 4 + ["node002"] * 4, ["node003"] * 4 + ["node004"] * 4]),
        (2, 4, "rank", [["node001"] * 2, ["node001"] * 2, ["node002"] * 2, ["node002"] * 2]),
        (2, 1, "node", [["node001", "node002"]]),
    ],
)
def test_instances_and_whole_nodes(
    cluster: Cluster, tmp_path: Path, nodes: int, instances: int, unit: str, hosts: list[list[str]]
) -> None:
    hold = [*SHOW[:2], f"{SHOW[2]}; import time; time.sleep(2)"]  # so that they really run side by side
    made = plan(nodes, 4, instances=instances, unit=unit, command=hold)
    job, run = submit(cluster, made, tmp_path)
    assert cluster.exit_code(job) == 0, output(tmp_path, job)
    ports = set()
    for instance, expected in enumerate(hosts):
        folder = run / "logs" / "attempt-0" / f"instance-{instance}"
        rows = [json.loads(path.read_text())[1] for path in folder.iterdir()]
        rows.sort(key=lambda row: int(row.get("RANK", row["NODE_RANK"])))
        offset = int(expected[0][-3:]) - int(rows[0]["SLURMD_NODENAME"][-3:])
        assert [f"node{int(row['SLURMD_NODENAME'][-3:]) + offset:03d}" for row in rows] == expected
        assert [row.get("RANK") for row in rows] == (
            [str(i) for i in range(len(rows))] if unit == "rank" else [None] * nodes
        )
        visible = {row["CUDA_VISIBLE_DEVICES"] for row in rows}
        assert visible == ({"0,1", "2,3"} if instances == 4 else {"0,1,2,3"}) & visible
        assert {row["RANKPLAN_INSTANCE"] for row in rows} == {str(instance)}
        ports |= {row["MASTER_PORT"] for row in rows}
    assert len(ports) == instances


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code"),
    [("((RANK != 5)) || exit 7; sleep 60", 7), ("((RANK != 5)) || kill -KILL $$; sleep 60", 137)],
)
def test_the_jobs_exit_code_is_the_failing_ranks(cluster: Cluster, tmp_path: Path, command: str, code: int) -> None:
    job, _ = submit(cluster, plan(2, 4, command=["bash", "-c", command]), tmp_path)
    assert cluster.exit_code(job) == code, output(tmp_path, job)


@pytest.mark.slow
def test_a_plan_that_changed_is_not_started(cluster: Cluster, tmp_path: Path) -> None:
    write(plan(1, 4), tmp_path / "plan")
    launch = tmp_path / "plan" / "runtime" / "launch.json"
    launch.write_text(launch.read_text().replace('"world_size": 4', '"world_size": 8'))
    job = cluster.submit(tmp_path / "plan" / "slurm" / "job.sbatch", tmp_path / "submit")
    assert cluster.exit_code(job) == 64
    assert "runtime/launch.json: FAILED" in output(tmp_path, job)
    assert "files of the plan differ from those that were compiled" in output(tmp_path, job)


@pytest.mark.slow
def test_a_script_that_was_moved_out_of_its_folder_says_so(cluster: Cluster, tmp_path: Path) -> None:
    folder = write(plan(1, 4), tmp_path / "plan")
    shutil.copy(folder / "slurm" / "job.sbatch", tmp_path / "alone.sh")
    job = cluster.submit(tmp_path / "alone.sh", tmp_path / "submit")
    assert cluster.exit_code(job) == 64
    assert f"{tmp_path}/alone.sh is not <folder>/slurm/job.sbatch" in output(tmp_path, job)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["USR1", "TERM"])
def test_signals_to_the_batch_script_reach_the_ranks(cluster: Cluster, tmp_path: Path, name: str) -> None:
    command = f"trap 'echo {name}; exit 3' {name}; echo ready; while true; do sleep 0.1; done"
    job, run = submit(cluster, plan(2, 4, command=["bash", "-c", command]), tmp_path)
    logs = run / "logs" / "attempt-0" / "instance-0"
    for _ in range(150):
        texts = [path.read_text() for path in logs.glob("*.log")]
        if texts == ["ready\n"] * 8:
            break
        time.sleep(0.2)
    cluster.run("scancel", "--batch", "--signal", name, job)
    assert cluster.exit_code(job) == 3, output(tmp_path, job)
    texts = [path.read_text() for path in logs.glob("*.log")]
    assert [text.count(f"\n{name}\n") for text in texts] == [1] * 8
