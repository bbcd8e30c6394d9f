"""The same plan under every launcher: each rank has the same slot and the same GPU, and finds rank 0 by a name that is."""

from __future__ import annotations

import json
import os
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.runtime import mpi, spawn
from compiler.schedulers.job import job
from compiler.schedulers.runtime_files import launch_json
from compiler.specs.hardware import Fabric
from tests.controllers import CONTROLLERS, documents, pods
from tests.launched import expected, under_kubernetes, under_slurm
from tests.plans import plan


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
