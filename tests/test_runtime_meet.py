"""Pods of a pinned plan take the slots of their nodes, wherever they land, and all find the pod of slot 0."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler.passes import compile_config
from compiler.schedulers import registry, runtime_files
from compiler.schedulers.job import job
from tests.configs import composed
from tests.controllers import CONTROLLERS, Pod, documents, loaded, pods
from tests.kubelet import unpack
from tests.kubernetes_plans import kubernetes
from tests.plans import SmallPlan

BY_HOST = ["kubernetes_job", "jobset", "lws", "trainjob", "volcano"]
HOSTS = ["h0", "h1", "h2", "h3"]
COMMAND = [
    sys.executable,
    "-c",
    "import os; print('RANK', *(os.environ[k] for k in ('RANK', 'NODE_NAME', 'MASTER_ADDR')))",
]


def pinned(target: str, **given: Any) -> SmallPlan:
    table = "host,leaf,pod,rack\n" + "".join(f"{host},l{index // 2},p,r\n" for index, host in enumerate(HOSTS))
    return kubernetes(target, 4, 1, hosts=table, pin=True, python=sys.executable, **given)


def free_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return str(held.getsockname()[1])


def started(pod: Pod, folder: Path, node: str, port: str, own: str) -> subprocess.Popen[str]:
    """A pod on a node, with an address of its own; the first pod's is where all others look for it."""
    command = [word.replace("/etc/rankplan", str(folder)) for word in pod.command]
    environment = {**os.environ, **pod.environment, "NODE_NAME": node, "RANKPLAN_PLAN": str(folder)}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANKPLAN_MEET_WAIT_S": own}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("target", BY_HOST)
def test_every_rank_runs_on_the_host_of_its_row(target: str, tmp_path: Path) -> None:
    plan = pinned(target, command=COMMAND)
    found = pods(documents(plan))
    unpack(plan, found[0].spec, tmp_path)
    landed = random.Random(target).sample(HOSTS, 4)
    port = free_port()
    running = [started(pod, tmp_path, node, port, "60") for pod, node in zip(found, landed, strict=True)]
    said = []
    for process in running:
        if target == "lws":  # a set that serves stays when its ranks have ended
            assert process.stderr is not None
            while "is kept until" not in process.stderr.readline():
                assert process.poll() is None
            process.terminate()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        said += [line.split() for line in out.splitlines()]
    assert sorted((int(rank), node) for _, rank, node, _ in said) == list(enumerate(HOSTS))
    assert len({master for *_, master in said}) == 1


def test_a_rank_that_nothing_keeps_on_its_host_says_so(tmp_path: Path) -> None:
    """Of several groups of one template each takes the slots by its pods' numbers."""
    plan = pinned("lws", instances=2, command=[*COMMAND[:2], "pass"])
    found = pods(documents(plan))
    unpack(plan, found[0].spec, tmp_path)
    probe = [sys.executable, "-I", "-S", str(tmp_path / "runtime" / "probe.py"), "--cpu"]
    launch = json.loads((tmp_path / "runtime" / "launch.json").read_text())
    (tmp_path / "runtime" / "launch.json").write_text(json.dumps({**launch, "command": [], "other_command": None}))
    row = {"RANK": "1", "LOCAL_RANK": "0", "NODE_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}
    for node, said in (("h3", "(bound)"), ("h0", "(not on h3, the host of its row)")):
        own = {**row, "NODE_NAME": node, "RANKPLAN_INSTANCE": "1", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
        environment = {**os.environ, **own, "RANKPLAN_PLAN": str(tmp_path)}
        done = subprocess.run(probe, env=environment, capture_output=True, text=True, check=False)
        assert f"rank 1 on {node} {said}: slot 1" in done.stdout, done.stderr


def test_a_pod_on_another_node_stops_by_the_code_of_a_wrong_place(tmp_path: Path) -> None:
    plan = pinned("jobset", command=COMMAND)
    found = pods(documents(plan))
    unpack(plan, found[0].spec, tmp_path)
    process = started(found[1], tmp_path, "elsewhere", free_port(), "60")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 65
    assert "host: expected one of h0 h1 h2 h3, found elsewhere" in err


def test_who_is_missing_is_said_in_time_and_strangers_are_not_counted(tmp_path: Path) -> None:
    plan = pinned("jobset", command=COMMAND)
    found = pods(documents(plan))
    unpack(plan, found[0].spec, tmp_path)
    port = free_port()
    first = started(found[0], tmp_path, "h2", port, "4")
    second = started(found[1], tmp_path, "h0", port, "4")
    for text in (b"GET / HTTP/1.1\n", b"\xff\n", b"rankplan other 0 3\n"):
        while first.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as way:
                    way.sendall(text)
                break
            except ConnectionRefusedError:
                continue
    _, err = first.communicate(timeout=60)
    assert first.returncode == 64
    assert "there is nothing of slots 1 3 in time" in err
    assert second.wait(timeout=60) == 64
    second.communicate()


def test_a_pod_that_waits_for_others_stops_when_it_is_told_to(tmp_path: Path) -> None:
    plan = pinned("jobset", command=COMMAND)
    found = pods(documents(plan))
    unpack(plan, found[0].spec, tmp_path)
    port = free_port()
    waiting = [started(pod, tmp_path, node, port, "600") for pod, node in zip(found[:2], HOSTS[:2], strict=True)]
    while subprocess.run(
        [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}))"],
        check=False,
        capture_output=True,
    ).returncode:
        pass
    for process in waiting:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("target", CONTROLLERS)
def test_hosts_and_order_of_a_pinned_plan_are_kept(target: str) -> None:
    found = {item.id: item for item in registry.checks(pinned(target))}
    assert (found["pinned-hosts"].status, found["order-unproven"].status) == ("pass", "pass")
    assert "pinned-hosts" not in {item.id for item in registry.checks(kubernetes(target, 4, 1))}


def test_several_groups_of_one_set_do_not_know_their_hosts() -> None:
    found = {item.id: item for item in registry.checks(pinned("lws", instances=2))}
    assert found["pinned-hosts"].status == "warn"
    assert json.dumps(found["pinned-hosts"].fix).startswith('"write hardware.pin=false')


SERVED = (
    "model=llama3_1_8b",
    "hardware=h100_80gb",
    "workload.global_batch_size=32",
    "launch.image=i",
    "framework=vllm",
)


@pytest.mark.parametrize(
    ("target", "kept"), [("jobset", True), ("kubernetes_job", True), ("lws", False), ("mpijob", False)]
)
def test_a_pinned_server_is_the_pod_that_is_ready(target: str, kept: bool, tmp_path: Path) -> None:
    (tmp_path / "hosts.csv").write_text("host,leaf,pod,rack\nh0,l,p,r\nh1,l,p,r\n")
    given = (f"hardware.inventory={tmp_path}/hosts.csv", "parallel=tp8_pp2", f"scheduler={target}")
    made = compile_config(composed(*SERVED, *given, f"launch.python={sys.executable}"))
    assert {item.status for item in made.checks if item.id == "pinned-hosts"} == {"pass" if kept else "warn"}
    files = [item for item in registry.artifacts(made) if item.path.startswith("kubernetes/")]
    found = [document for item in files for document in loaded(str(item.text))]
    running = [pod for pod in pods(found) if pod.index >= 0]
    (service,) = [item["spec"] for item in found if item["metadata"]["name"].endswith("-http")]
    assert sum(service["selector"].items() <= pod.labels.items() for pod in running) == (2 if kept else 1)
    if not kept:
        return
    for name, text in runtime_files.files(job(made)).items():
        (tmp_path / name).write_text(text)
    probe = running[1].spec["containers"][0]["readinessProbe"]["exec"]["command"]
    command = [word.replace("/etc/rankplan/runtime", str(tmp_path)) for word in probe]
    for node, said in (("h0", "Connection refused"), ("h1", "the server is on the node of slot 0")):
        environment = {**running[1].environment, "NODE_NAME": node}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert said in done.stderr
