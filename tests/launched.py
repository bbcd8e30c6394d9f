"""Which slot and GPU each launcher gives each rank, read off what it is given."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import numpy as np

from compiler.runtime import bind, mpi, probe, spawn
from tests.controllers import Pod
from tests.plans import SmallPlan

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
