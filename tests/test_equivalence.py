"""The same plan under every launcher: each rank has the same slot and the same GPU, and finds rank 0 by a name that is."""

from __future__ import annotations

import json
import os
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.runtime import bind, mpi, probe, spawn
from compiler.schedulers.job import job
from compiler.schedulers.runtime_files import launch_json
from compiler.specs.hardware import Fabric
from tests.controllers import CONTROLLERS, Pod, documents, pods
from tests.plans import SmallPlan, plan

Table = dict[tuple[int, int], tuple[int, int]]
"""(instance, rank) -> (slot, local GPU)."""


def expected(made: SmallPlan) -> Table:
    """What rank_map.csv says, for every instance."""
    world = made.world
    ranks = np.arange(world.size)
    slots, gpus = world.slots.slot(ranks).tolist(), world.slots.local_rank(ranks).tolist()
    nodes = -(-world.size // world.slots.gpus)
    return {
        (instance, rank): (instance * nodes + slots[rank], gpus[rank])
        for instance in range(world.instances)
        for rank in range(world.size)
    }


def under_slurm(made: SmallPlan, launch: dict[str, Any]) -> Table:
    """Task i of a step runs on line i of the host file, and srun counts tasks on each host."""
    hosts = [f"n{slot}" for slot in range(launch["nodes"] * launch["instances"])]
    bound = bind.instances(hosts, launch)
    found = {}
    for instance in range(launch["instances"]):
        lines = bound[f"hostfile.{instance}"]
        for task, host in enumerate(lines):
            step = {"SLURM_PROCID": task, "SLURM_LOCALID": lines[:task].count(host), "SLURM_STEP_NUM_TASKS": len(lines)}
            with mock.patch.dict(os.environ, {name: str(value) for name, value in step.items()}):
                probe.read_slurm(launch)
                place = (hosts.index(host), int(os.environ["LOCAL_RANK"]))
                found[instance, int(os.environ["RANK"])] = place
    return found


def under_kubernetes(started: list[Pod], launch: dict[str, Any]) -> Table:
    """A pod is a slot; spawn.py, or MPI, makes its ranks."""
    launchers = [pod for pod in started if pod.index < 0]
    found: Table = {}
    for pod in started:
        if launchers or pod.index < 0:
            continue
        (node,) = [spawn.node_rank(word[len("--node=") :]) for word in pod.command if word.startswith("--node=")]
        assert node == pod.index
        instance = int(pod.environment["RANKPLAN_INSTANCE"])
        assert pod.environment["MASTER_ADDR"] in {other.address for other in started if other.index == 0}
        for _, row in spawn.rows(launch, node):
            found[instance, row["RANK"]] = (instance * launch["nodes"] + row["NODE_RANK"], row["LOCAL_RANK"])
    for pod in launchers:
        found |= by_mpi(pod, launch, started)
    return found


def by_mpi(launcher: Pod, launch: dict[str, Any], started: list[Pod]) -> Table:
    """The sequential mapper puts process i on line i, and counts processes on each host."""
    workers = launcher.environment["RANKPLAN_WORKERS"]
    lines = mpi.hosts(launch, workers)
    index = {pod.address: pod.index for pod in started}
    instance, found = int(launcher.environment["RANKPLAN_INSTANCE"]), {}
    assert index[launcher.environment["MASTER_ADDR"]] == 0
    for task, host in enumerate(lines):
        with mock.patch.dict(os.environ, {"RANKPLAN_WORKERS": workers}):
            row = mpi.place(launch, task, lines[:task].count(host), host.split(".")[0])
        assert int(row["NODE_RANK"]) == index[host]
        found[instance, int(row["RANK"])] = (instance * launch["nodes"] + index[host], int(row["LOCAL_RANK"]))
    return found


@settings(max_examples=25, deadline=None)
@given(
    gpus=st.sampled_from([1, 2, 4, 8]),
    nodes=st.integers(1, 40),
    instances=st.integers(1, 3),
    per_leaf=st.none() | st.integers(1, 17),
)
def test_every_launcher_gives_the_same_table(gpus: int, nodes: int, instances: int, per_leaf: int | None) -> None:
    fabric = Fabric(kind="flat", nodes_per_leaf=per_leaf)
    made = {
        name: plan(nodes * instances, gpus, instances=instances, scheduler=(name,), fabric=fabric)
        for name in ("slurm", *CONTROLLERS)
    }
    launch = json.loads(launch_json(job(made["slurm"])))
    assert under_slurm(made["slurm"], launch) == expected(made["slurm"])
    for name in CONTROLLERS:
        assert under_kubernetes(pods(documents(made[name])), launch) == expected(made[name]), name


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_plan_whose_instances_share_nodes(name: str) -> None:
    """Which pods share one is the scheduler's choice: ranks count within their own."""
    made = plan(2, 8, instances=4, scheduler=(name,))
    launch = json.loads(launch_json(job(made)))
    assert under_kubernetes(pods(documents(made)), launch) == {
        (i, rank): (i, rank) for i in range(4) for rank in range(4)
    }


@pytest.mark.parametrize("text", ["0+16*3+5", "53", "5+3*16"])
def test_a_node_rank_is_worked_out(text: str) -> None:
    assert spawn.node_rank(text) == 53


def test_a_controller_that_orders_otherwise_is_noticed() -> None:
    """The comparison above can fail: a hostfile that starts with another node."""
    launch = json.loads(launch_json(job(plan(3, 2, scheduler=("mpijob",)))))
    with (
        mock.patch.dict(os.environ, {"RANKPLAN_WORKERS": "j-worker-%d.j"}),
        pytest.raises(Exception, match="worker of MPI") as wrong,
    ):
        mpi.place(launch, 0, 0, "j-worker-2")
    assert getattr(wrong.value, "code", None) == 65
    assert "worker of MPI's process 0: expected j-worker-0, found j-worker-2" in str(wrong.value)
