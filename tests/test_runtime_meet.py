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

from compiler.schedulers import registry
from tests.controllers import Pod, documents, pods
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
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANKPLAN_DNS_WAIT_S": own}
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


@pytest.mark.parametrize(("target", "kept"), [*((target, True) for target in BY_HOST), ("mpijob", False)])
def test_hosts_that_nothing_keeps_are_warned_of(target: str, kept: bool) -> None:
    found = {item.id: item for item in registry.checks(pinned(target))}
    assert (found["pinned-hosts"].status, found["order-unproven"].status) == (
        ("pass", "pass") if kept else ("warn", "warn")
    )
    assert "pinned-hosts" not in {item.id for item in registry.checks(kubernetes(target, 4, 1))}


def test_several_groups_of_one_set_do_not_know_their_hosts() -> None:
    found = {item.id: item for item in registry.checks(pinned("lws", instances=2))}
    assert found["pinned-hosts"].status == "warn"
    assert json.dumps(found["pinned-hosts"].fix).startswith('"write hardware.pin=false')
