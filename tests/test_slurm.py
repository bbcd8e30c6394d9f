"""The batch script: as text, and run by stand-ins of Slurm's programs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.specs.site import Site, SlurmSite
from tests.fake_slurm import batch
from tests.plans import HOSTILE, SmallPlan, files, plan, write
from tests.slurm_scripts import directives, script

NODES = [f"node{i:03d}" for i in range(1, 7)]
INTERLEAVED = "host,leaf,pod,rack\n" + "".join(f"{host},leaf{i % 2},p,r\n" for i, host in enumerate(NODES))
BY_LEAF = ["node001", "node003", "node005", "node002", "node004", "node006"]
IN_BLOCKS = ["node001", "node003", "node002", "node004"]
"""The same with two nodes of a leaf for two slots of a leaf: the third of each is a spare."""


def test_directives_ask_for_the_plans_nodes() -> None:
    found = directives(plan(4, 8, spare_nodes=2, name="a.b"))
    expected = {"job-name": "a.b", "nodes": "6", "ntasks-per-node": "8", "gpus-per-node": "8", "mem": "0"}
    expected |= {"time": "24:00:00", "signal": "B:USR1@120", "open-mode": "append", "export": "NONE"}
    expected |= {"exclusive": "", "requeue": "", "output": "rankplan-%j.out", "wait-all-nodes": "1"}
    expected |= {"comment": '"rankplan 0123456789ab"'}
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
    assert found == {rank: (IN_BLOCKS[rank // 2], rank // 2, rank % 2) for rank in range(8)}
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
