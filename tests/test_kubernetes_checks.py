"""What is warned of and refused: gangs, locked and shared memory, ports, and what has no effect."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.checks import Check
from compiler.schedulers.job import job
from compiler.schedulers.kubernetes.checks import of_job
from compiler.specs.site import KubernetesSite, Site
from tests.command import call
from tests.kubernetes_plans import checks, kubernetes


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        ("kubernetes_job", {}, "neither starts nor starts again as a whole"),
        ("kubernetes_job", {"queue": "q"}, "does not start again as a whole"),
        ("jobset", {}, "nothing starts a JobSet's pods all or none"),
        ("jobset", {"queue": "q"}, None),
        ("lws", {}, None),
        ("trainjob", {}, "nothing starts a TrainJob's pods all or none"),
        ("trainjob", {"queue": "q"}, None),
        ("trainjob", {"gang": "coscheduling"}, None),
        ("volcano", {}, None),
        ("mpijob", {}, "only where its operator runs with --gang-scheduling"),
    ],
)
def test_what_does_not_start_whole_is_said(target: str, options: dict[str, Any], expected: str | None) -> None:
    found = checks(kubernetes(target, 2, 8, options=options)).get("gang")
    assert (found is None) is (expected is None)
    if found is not None and expected is not None:
        assert found.status == "warn"
        assert expected in found.message
    assert "gang" not in checks(kubernetes(target, 1, 8, options=options))


def test_groups_of_a_leader_worker_set_may_wait_for_each_other() -> None:
    assert "two groups may each hold half" in checks(kubernetes("lws", 4, 8, instances=2))["gang"].message
    assert checks(kubernetes("lws", 4, 8, instances=2, options={"queue": "q"})).get("gang") is None


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ({}, None),
        ({"rdma_resource": "rdma/ib"}, "without IPC_LOCK"),
        ({"rdma_resource": "rdma/ib", "capabilities": ["IPC_LOCK"]}, None),
        ({"rdma_resource": "rdma/ib", "capabilities": ["IPC_LOCK"], "run_as_user": 1000}, "does nothing for a user who is not root"),
        ({"rdma_resource": "rdma/ib", "capabilities": ["IPC_LOCK"], "run_as_user": 0}, None),
    ],
)  # fmt: skip
def test_memory_that_cannot_be_locked(site: dict[str, Any], expected: str | None) -> None:
    plan = kubernetes("jobset", 1, 8, site=Site(name="s", kubernetes=KubernetesSite(**site)))
    found = checks(plan).get("memlock")
    assert (found is None) is (expected is None)
    assert found is None or str(expected) in found.message


def test_shared_memory_is_memory_of_the_pod() -> None:
    site = Site(name="s", kubernetes=KubernetesSite(memory_per_gpu_bytes=2**33))
    assert checks(kubernetes("jobset", 1, 8, site=site))["shm"].status == "fail"
    assert "shm" not in checks(kubernetes("jobset", 1, 16, site=site))


def test_groups_that_share_a_nodes_ports() -> None:
    site = Site(name="s", kubernetes=KubernetesSite(host_network=True))
    assert checks(kubernetes("lws", 1, 8, instances=2, site=site))["ports"].status == "fail"
    assert "ports" not in checks(kubernetes("jobset", 1, 8, instances=2, site=site))


def test_a_set_that_serves_does_not_train() -> None:
    plan = kubernetes("lws", 2, 8)
    assert "lws-serves" not in checks(plan)
    world = replace(plan.world, config=replace(plan.config, workload=replace(plan.config.workload, kind="train")))
    found = checks(replace(plan, world=world))["lws-serves"]
    assert (found.status, "max_restarts=3 nor time_limit=24:00:00" in found.message) == ("warn", True)


def test_ranks_that_find_each_other_by_mpi_want_an_mpijob() -> None:
    for target in ("jobset", "mpijob"):
        plan = kubernetes(target, 2, 8)
        given = replace(job(plan), mpi="pmix")
        found = list(of_job(target, given, plan.config.scheduler[target], mpi=target == "mpijob"))
        assert ("mpi" in [item.id for item in found]) is (target == "jobset")


def test_what_has_no_effect_is_said() -> None:
    found = checks(kubernetes("jobset", 2, 8, spare_nodes=2, spans="require"))
    assert found["spares"].message.startswith("launch.spare_nodes=2 has no effect under scheduler=jobset")
    assert found["spans-required"].message.startswith("launch.spans=require has no effect under scheduler=jobset")
    assert "a slim Python image, enough for the self-check" in found["image"].message
    assert "image" not in checks(kubernetes("jobset", 2, 8, image="i"))


def test_the_image_must_hold_what_runs_in_it() -> None:
    plan = kubernetes("jobset", 2, 8)
    config = plan.config

    def image(framework: str, *, own: bool) -> Check:
        named = replace(config, framework=replace(config.framework, name=framework))
        launch = replace(named.launch, command=["train"] if own else None)
        given = replace(job(plan), command=("run",), world=replace(plan.world, config=replace(named, launch=launch)))
        found = of_job("jobset", given, config.scheduler["jobset"], mpi=False)
        return next(item for item in found if item.id == "image")

    assert "which has no megatron, so that the job cannot run" in image("megatron", own=False).message
    assert image("vllm", own=False).fix == "write launch.image=REGISTRY/IMAGE with vllm in it"
    assert "nothing beside Python for launch.command" in image("vllm", own=True).message


def test_the_command_line_stops_with_3_and_2(tmp_path: Path) -> None:
    base = ["hardware=h100_80gb", "hardware.nodes=2", "parallel=tp8_adp2", "model=llama3_1_8b", "scheduler=jobset"]
    failed = call(*base, "scheduler.jobset.topology=required", cwd=tmp_path)
    assert failed.code == 3
    assert failed.errors[0].startswith("error: kueue-topology: scheduler.jobset.topology=required is Kueue's")
    assert call(*base, "scheduler.jobset.topology=wanted", cwd=tmp_path).code == 2
    assert not (tmp_path / "out").exists()
    assert call(*base, "scheduler.jobset.exclusive=false", cwd=tmp_path).code == 0
    (plan,) = (tmp_path / "out").iterdir()
    ids = [item["id"] for item in json.loads((plan / "plan.json").read_text())["checks"]]
    assert {"order-unproven", "gang", "image", "webhooks"} <= set(ids)
