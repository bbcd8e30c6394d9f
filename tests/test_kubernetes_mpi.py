"""The MPIJob's launcher under a real Open MPI, whose logins run here: order, environment, exit codes, restarts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.controllers import documents, pods
from tests.kubelet import unpack
from tests.kubernetes_plans import VALUES, kubernetes
from tests.plans import SmallPlan
from tests.processes import none_left
from tests.slurm_cluster import until

LOGIN = """#!/bin/bash
# ssh, of a cluster whose workers are all here: nothing of this environment, and the host name of the worker
host="$1"; shift
node=$(cat "$HOME/node.${host%%.*}" 2>/dev/null)
exec env -i PATH="$PATH" HOME="$HOME" ${node:+NODE_NAME="$node"} unshare --uts sh -c 'hostname "$0"; exec sh -c "$1"' "${host%%.*}" "$*"
"""
SHOW = ["sh", "-c", 'printf "%s\\n" "$RANK $NODE_RANK $LOCAL_RANK $WORLD_SIZE $(hostname) $OMPI_COMM_WORLD_RANK" >> $0']

RESOLVED = """
import runpy, socket, sys
sys.argv = sys.argv[1:]
socket.getaddrinfo = lambda *_: []
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program where every name resolves, as the workers' do in a cluster."""


def works() -> bool:
    if shutil.which("mpirun") is None:
        return False
    return subprocess.run(["unshare", "--uts", "true"], check=False, capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not works(), reason="there is no mpirun, or no right to give processes a host name of their own"
    ),
]


def launch(plan: SmallPlan, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """The launcher's own command, its plan in `folder`, its workers' names all of this machine."""
    started = pods(documents(plan))
    pod = started[-1]
    unpack(plan, pod.spec, folder)
    login = folder / "login.sh"
    login.write_text(LOGIN)
    login.chmod(0o755)
    command = [word.replace(pod.environment["RANKPLAN_PLAN"], str(folder)) for word in pod.command]
    command[command.index("mpirun") + 1 : command.index("mpirun") + 1] = [
        *("--oversubscribe", "--mca", "plm_rsh_agent", str(login), "--mca", "plm_rsh_no_tree_spawn", "1"),
        *("--mca", "oob_tcp_if_include", "lo", "--mca", "orte_keep_fqdn_hostnames", "1"),
    ]
    known = {**pod.environment, "MASTER_ADDR": "localhost", "PATH": os.environ["PATH"], "HOME": str(folder)}
    known |= {"RANKPLAN_PLAN": str(folder), **environment}
    command[3:3] = ["-c", RESOLVED]
    return subprocess.Popen(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def seen(path: Path) -> list[list[str]]:
    return sorted((line.split() for line in path.read_text().splitlines()), key=lambda row: int(row[0]))


def test_ranks_are_where_the_plan_says(tmp_path: Path) -> None:
    report = tmp_path / "seen"
    plan = kubernetes("mpijob", 3, 2, command=[*SHOW, str(report)], environment=VALUES, python=sys.executable)
    code, said = end(launch(plan, tmp_path))
    assert code == 0, said
    expected = [[rank, rank // 2, rank % 2, 6, f"small-worker-{rank // 2}", rank] for rank in range(6)]
    assert seen(report) == [list(map(str, row)) for row in expected]


def test_workers_take_the_slots_of_their_nodes(tmp_path: Path) -> None:
    report = tmp_path / "seen"
    show = ["sh", "-c", 'printf "%s\\n" "$RANK $NODE_NAME $MASTER_ADDR $(hostname)" >> $0', str(report)]
    hosts = "host,leaf,pod,rack\n" + "".join(f"h{index},l,p,r\n" for index in range(3))
    plan = kubernetes("mpijob", 3, 2, command=show, hosts=hosts, pin=True, python=sys.executable)
    landed = {"small-worker-0": "h2", "small-worker-1": "h0", "small-worker-2": "h1"}
    for worker, node in landed.items():
        (tmp_path / f"node.{worker}").write_text(node)
    code, said = end(launch(plan, tmp_path))
    assert code == 0, said
    at = {node: worker for worker, node in landed.items()}
    expected = [[str(rank), f"h{rank // 2}", "small-worker-1.small", at[f"h{rank // 2}"]] for rank in range(6)]
    assert seen(report) == expected


def test_one_process_a_node(tmp_path: Path) -> None:
    report = tmp_path / "seen"
    show = ["sh", "-c", 'echo "$NODE_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE ${RANK-none}" >> $0', str(report)]
    code, said = end(launch(kubernetes("mpijob", 2, 4, command=show, unit="node", python=sys.executable), tmp_path))
    assert code == 0, said
    assert seen(report) == [["0", "8", "4", "none"], ["1", "8", "4", "none"]]


@pytest.mark.parametrize(("exit_code", "attempts"), [(7, 3), (64, 1), (66, 1)])
def test_the_gang_is_started_again_unless_it_would_fail_again(tmp_path: Path, exit_code: int, attempts: int) -> None:
    tries = tmp_path / "tries"
    command = ["sh", "-c", f'echo 0 >> {tries}.$RANK; [ "$RANK" != 1 ] || exit {exit_code}; sleep 0.2']
    plan = kubernetes("mpijob", 2, 1, command=command, max_restarts=2, python=sys.executable)
    code, said = end(launch(plan, tmp_path))
    assert code == exit_code, said
    assert (tmp_path / "tries.1").read_text().count("0") == attempts
    assert said.count(f"ended with exit code {exit_code}\n") == (attempts if attempts > 1 else 0)


def test_a_worker_in_another_slot_is_noticed(tmp_path: Path) -> None:
    """MPI started a process elsewhere than the plan says: exit code 65, before the command."""
    plan = kubernetes("mpijob", 2, 1, command=["true"], python=sys.executable)
    process = launch(plan, tmp_path)
    process.kill()
    process.communicate()
    environment = {
        "OMPI_COMM_WORLD_RANK": "1",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_RANK": "0",
        "RANKPLAN_WORKERS": "small-worker-%d.x",
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-I", "-S", str(tmp_path / "runtime" / "mpi.py"), "--rank"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 65
    assert "worker of MPI's process 1: expected small-worker-1, found " in done.stderr


def test_a_stop_ends_the_gang_and_is_no_failure_to_repeat(tmp_path: Path) -> None:
    ready: dict[str, Any] = {}
    command = ["sh", "-c", f"touch {tmp_path}/up.$RANK; sleep 60"]
    process = launch(kubernetes("mpijob", 2, 1, command=command, max_restarts=3, python=sys.executable), tmp_path)
    for _ in range(300):
        ready = {str(rank): (tmp_path / f"up.{rank}").exists() for rank in range(2)}
        if all(ready.values()):
            break
        time.sleep(0.1)
    assert all(ready.values()), json.dumps(ready)
    process.send_signal(signal.SIGTERM)
    code, said = end(process)
    assert code != 0
    assert "attempt 2" not in said


CHILDREN = "sleep 600 & setsid sleep 600 & (setsid sh -c \"trap '' TERM; while true; do sleep 1; done\" &) ;"


@pytest.mark.parametrize("stop", [False, True])
def test_children_of_ranks_end_with_the_gang(tmp_path: Path, stop: bool) -> None:
    text = f"{CHILDREN} touch {tmp_path}/up.$RANK; sleep 1; [ $RANK = {9 if stop else 1} ] && exit 7; sleep 600"
    plan = kubernetes("mpijob", 2, 1, command=["sh", "-c", text], max_restarts=0, python=sys.executable)
    process = launch(plan, tmp_path, RANKPLAN_GRACE_S="2")
    until(lambda: len(list(tmp_path.glob("up.*"))) == 2, "two ranks", 60)
    if stop:
        process.send_signal(signal.SIGTERM)
    code, said = end(process)
    assert stop or code == 7, said
    none_left(f"RANKPLAN_PLAN={tmp_path}", 10)
