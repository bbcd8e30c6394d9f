"""What a pod makes of what it is given, when its own command runs here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from compiler import compile_plan
from compiler.commands import edits, repair
from compiler.schedulers import registry
from compiler.specs.launch import Preflight
from tests.controllers import CONTROLLERS, Pod, documents, pods
from tests.kubelet import BY_SPAWN, specs, start, unpack
from tests.kubernetes_plans import VALUES, kubernetes
from tests.plans import SmallPlan, files


@pytest.mark.parametrize("target", [name for name in BY_SPAWN if name != "lws"])
def test_what_pods_start_is_the_plan(target: str, tmp_path: Path) -> None:
    plan = kubernetes(target, 2, 2, environment=VALUES, python=sys.executable)
    unpack(plan, specs(plan)[0], tmp_path)
    assert files(plan)["plan.json"].text == (tmp_path / "plan.json").read_text()
    done = [start(pod, tmp_path) for pod in pods(documents(plan))]
    assert [item.returncode for item in done] == [0, 0], done[0].stderr
    assert sorted(line for item in done for line in item.stdout.splitlines()) == [
        f"rankplan: rank {rank} on n{rank // 2} (unbound): slot {rank // 2}, GPU unchecked: as planned"
        for rank in range(4)
    ]


def test_a_pod_of_a_set_that_serves_stays_when_its_ranks_have_ended(tmp_path: Path) -> None:
    plan = kubernetes("lws", 1, 2, python=sys.executable)
    (pod,), seen = pods(documents(plan)), tmp_path / "seen"
    seen.mkdir()
    unpack(plan, pod.spec, tmp_path)
    command = [word.replace(pod.environment["RANKPLAN_PLAN"], str(tmp_path)) for word in pod.command]
    environment = {**pod.environment, "MASTER_ADDR": "127.0.0.1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "exit code 0 is kept until this pod is told to stop" not in process.stderr.readline():
        assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=60) == 0
    process.communicate()


@pytest.mark.parametrize(("code", "given"), [(64, {"RANKPLAN_DIGEST": "0"}), (65, {"NODE_NAME": "elsewhere"})])
def test_the_self_checks_exit_code_is_the_pods(tmp_path: Path, code: int, given: dict[str, str]) -> None:
    hosts = "host,leaf,pod,rack\nn0,l,p,r\nn1,l,p,r\n"
    plan = kubernetes("jobset", 2, 2, python=sys.executable, hosts=hosts, pin=True)
    pod = pods(documents(plan))[0]
    unpack(plan, pod.spec, tmp_path)
    assert start(pod, tmp_path, **given).returncode == code


def test_a_table_of_another_plan_stops_the_pod(tmp_path: Path) -> None:
    plan = kubernetes("kubernetes_job", 2, 2, python=sys.executable)
    pod = pods(documents(plan))[1]
    unpack(plan, pod.spec, tmp_path)
    table = tmp_path / "rank_map.csv"
    table.write_text(table.read_text().replace("\n3,1,,1,", "\n3,1,,0,"))
    done = start(pod, tmp_path)
    assert done.returncode == 65
    assert "rank, slot and local rank: expected ('3', '1', '1'), found ('3', '1', '0')" in done.stderr


@pytest.mark.parametrize("target", BY_SPAWN)
def test_ranks_start_after_the_preflight_with_their_devices_and_values(target: str, tmp_path: Path) -> None:
    plan = kubernetes(target, 2, 8, environment={"A": "b"}, preflight=Preflight(bandwidth_command=["echo", "1"]))
    for spec in specs(plan):
        (first,), (ranks,) = spec["initContainers"], spec["containers"]
        assert first["command"][-2:] == ["/etc/rankplan/runtime/preflight.py", "--pod"]
        assert all(first[key] == ranks[key] for key in ("image", "env", "resources", "securityContext", "volumeMounts"))
    unpack(plan, specs(plan)[0], tmp_path)
    look = Pod("p", 0, specs(plan)[0]["initContainers"][0]["command"], pods(documents(plan))[0].environment, {})
    done = start(look, tmp_path, PATH="/usr/bin:/bin")
    assert (done.returncode, done.stderr) == (0, "rankplan: preflight on n0: 0 GPUs\n"), done.stderr


@pytest.mark.parametrize("target", CONTROLLERS)
def test_no_preflight_where_it_is_off_or_where_mpi_starts_the_ranks(target: str) -> None:
    plan = kubernetes(target, 2, 8, preflight=Preflight(enabled=target == "mpijob", bandwidth_command=["echo"]))
    assert not [spec for spec in specs(plan) if "initContainers" in spec]
    said = [item.message for item in registry.checks(plan) if item.id == "preflight"]
    expected = [
        "launch.preflight.bandwidth_command does not run under scheduler=mpijob, whose workers wait for MPI alone"
    ]
    assert said == (expected if target == "mpijob" else [])


@pytest.mark.parametrize(("host", "code"), [("n1", 0), ("n0", 65)])
def test_a_repaired_plan_starts_on_the_spare_alone(tmp_path: Path, host: str, code: int) -> None:
    (tmp_path / "hosts.csv").write_text("host,leaf,pod,rack\nn0,l,p,r\nn1,l,p,r\n")
    given = [f"hardware.inventory={tmp_path / 'hosts.csv'}", "launch.spare_nodes=1", f"launch.python={sys.executable}"]
    shape = [
        "model=llama3_1_8b",
        "hardware=h100_80gb",
        "parallel=tp2",
        "hardware.node.gpus=2",
        "hardware.nvlink.domain_gpus=2",
    ]
    folder = compile_plan([*shape, *given, "hardware.nic.per_node=2", "scheduler=jobset"]).write(tmp_path, "plan")
    assert repair.run([str(folder), "--lost", "host=n0", "--out", str(tmp_path / "new")]) == 0
    plan = cast("SmallPlan", edits.compiled(tmp_path / "new"))
    (pod,), seen = pods(documents(plan)), tmp_path / "seen"
    seen.mkdir()
    unpack(plan, pod.spec, seen)
    done = start(pod, seen, NODE_NAME=host)
    assert done.returncode == code, done.stderr
