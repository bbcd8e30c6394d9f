"""Prefill and decode as one heterogeneous job on a real Slurm: both worlds, their ends and their restarts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.specs.site import Site, SlurmSite
from tests import slurm_cluster
from tests.plans import HOSTILE, SmallPools, pools, sharing
from tests.slurm_cluster import Cluster, Started, submit

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm-pools")]

NODES = [f"node{i:03d}" for i in range(1, 7)]
SHAPE = {"prefill": (2, 4), "decode": (2, 1)}
"""Nodes and instances: two instances share each node of prefill, decode is one over both of its nodes."""
LEAVES = {host: f"leaf{i % 2}" for i, host in enumerate(NODES)}
INTERLEAVED = "host,leaf,pod,rack\n" + "".join(f"{host},{leaf},p,r\n" for host, leaf in LEAVES.items())
SHOW = ["/usr/bin/env", "python3", "-c", "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"]
RANKS = {"prefill": 2, "decode": 8}
"""Of an instance."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Six nodes of four GPUs, on two leaves by turns."""
    yield from slurm_cluster.start(6, 4, leaves=2)


def both(**given: Any) -> SmallPools:
    return pools(SHAPE["prefill"], SHAPE["decode"], 4, **{"python": sys.executable, "hosts": INTERLEAVED, **given})


def bash(text: str, **given: Any) -> SmallPools:
    return both(command=["bash", "-c", text], **given)


def every(job: Started, attempt: int = 0) -> dict[tuple[str, int], list[str]]:
    """(Pool, instance) -> what each rank wrote."""
    return {
        (pool, instance): job.logs(attempt, instance, pool)
        for pool, (_, instances) in SHAPE.items()
        for instance in range(instances)
    }


def endpoints(job: Started) -> list[list[str]]:
    return [line.split() for line in job.lines("endpoints")]


def test_both_worlds_run_where_their_plans_say(cluster: Cluster, tmp_path: Path) -> None:
    job = submit(cluster, both(command=[*SHOW, *HOSTILE.values()], environment=HOSTILE), tmp_path)
    assert job.code == 0, job.output
    hosts = {pool: job.lines(f"{pool}/hosts") for pool in SHAPE}
    assert not set(hosts["prefill"]) & set(hosts["decode"])
    ports: set[str] = set()
    for (pool, instance), logs in every(job).items():
        rows = [json.loads(text) for text in logs]
        assert [row[0] for row in rows] == [list(HOSTILE.values())] * RANKS[pool]
        seen = [row[1] for row in rows]
        assert [row["RANK"] for row in seen] == [str(rank) for rank in range(RANKS[pool])]
        node = [(instance * RANKS[pool] + rank) // 4 for rank in range(RANKS[pool])]
        assert [row["SLURMD_NODENAME"] for row in seen] == [hosts[pool][slot] for slot in node]
        assert {row["WORLD_SIZE"] for row in seen} == {str(RANKS[pool])}
        assert {row["RANKPLAN_POOL"] for row in seen} == {pool}
        assert {row["RANKPLAN_PLAN"] for row in seen} == {str(job.run / f"plan-{job.job}" / pool)}
        assert all({name: row[name] for name in HOSTILE} == HOSTILE for row in seen)
        (port,) = {row["MASTER_PORT"] for row in seen}
        (address,) = {row["MASTER_ADDR"] for row in seen}
        assert [pool, str(instance), address, port] in endpoints(job)
        assert Path(seen[0]["RANKPLAN_ENDPOINTS"]).read_text() == (job.run / "endpoints").read_text()
        ports.add(port)
    assert len(ports) == len(endpoints(job)) == 5
    assert job.attempts[0]["pools"]["decode"]["hosts"] == hosts["decode"]


def test_slots_of_each_pool_are_sorted_by_topology(cluster: Cluster, tmp_path: Path) -> None:
    """Slurm gives each component nodes that alternate between leaves; a pool's slots run leaf by leaf."""
    shape = (3, 1), (3, 1)
    job = submit(cluster, pools(*shape, 4, python=sys.executable, hosts=INTERLEAVED), tmp_path)
    assert job.code == 0, job.output
    for pool in SHAPE:
        found = job.lines(f"{pool}/hosts")
        assert found == sorted(found, key=lambda host: (LEAVES[host], host))
        assert f"rankplan: {pool}: 3 hosts in slots, ordered by the plan's inventory" in job.output
    assert sorted(job.lines("prefill/hosts") + job.lines("decode/hosts")) == NODES
    assert job.output.count(": as planned\n") == 24


def test_pinned_pools_have_exactly_their_hosts(cluster: Cluster, tmp_path: Path) -> None:
    table = "".join(INTERLEAVED.splitlines(keepends=True)[:5])
    job = submit(cluster, both(hosts=table, pin=True), tmp_path)
    assert job.code == 0, job.output
    assert job.lines("prefill/hosts") == ["node001", "node003"]
    assert job.lines("decode/hosts") == ["node002", "node004"]


@pytest.mark.parametrize("failing", ["prefill", "decode"])
def test_the_first_rank_that_fails_ends_both(cluster: Cluster, tmp_path: Path, failing: str) -> None:
    text = f"[[ $RANKPLAN_POOL$RANKPLAN_INSTANCE$RANK == {failing}01 ]] && exit 7; sleep 100"
    job = submit(cluster, bash(text, max_restarts=0), tmp_path)
    assert job.code == 7, job.output
    host = job.lines(f"{failing}/hosts")[0]
    told = f"attempt 0 failed, {failing} instance 0: rank 1 on {host} ended first, with exit code 7; see "
    assert told in job.output
    failure = {"pool": failing, "instance": 0, "code": 7, "who": f"rank 1 on {host}", "host": host}
    assert [row["failures"] for row in job.attempts] == [[failure]]


def test_a_signal_reaches_both_and_the_job_resumes_with_the_same_map(cluster: Cluster, tmp_path: Path) -> None:
    text = "((RANKPLAN_ATTEMPT)) && exit 0; trap 'exit 0' USR1; echo ready; while true; do sleep 0.1; done"
    table = "".join(INTERLEAVED.splitlines(keepends=True)[:5])
    job = submit(cluster, bash(text, hosts=table, pin=True), tmp_path)
    job.await_logs("ready\n")
    cluster.run("scancel", "--batch", "--signal", "USR1", job.job)
    cluster.resume(job.job, 1)
    assert job.code == 0, job.output
    assert [(row["signal"], row["outcome"]) for row in job.attempts] == [("USR1", "requeued"), ("none", "finished")]
    first, second = (row["pools"] for row in job.attempts)
    assert {pool: row["hosts"] for pool, row in first.items()} == {pool: row["hosts"] for pool, row in second.items()}


def test_a_node_that_fails_the_preflight_gives_way_to_its_pools_spare(cluster: Cluster, tmp_path: Path) -> None:
    text = "[[ $SLURMD_NODENAME != node004 ]] || { echo broken; exit 3; }"
    site = Site(name="test", slurm=SlurmSite(health_command=["bash", "-c", text]))
    made = pools((2, 4), (2, 1), 4, spares=(1, 1), python=sys.executable, hosts=INTERLEAVED, pin=True, site=site)
    job = submit(cluster, made, tmp_path)
    assert job.code == 0, job.output
    pool = next(pool for pool in SHAPE if (job.run / pool / "exclude").exists())
    assert job.lines(f"{pool}/exclude") == ["node004 has bash: expected exit code 0, found 3 broken"]
    assert "node004" not in job.lines(f"{pool}/hosts")
    assert f"rankplan: {pool}: preflight: node004 has bash" in job.output


def test_pools_that_share_a_node_run_side_by_side(cluster: Cluster, tmp_path: Path) -> None:
    """Three prefill servers of two GPUs on a node and a half, one of decode on the other half; GPUs are told apart."""
    made = sharing(2, 4, 3, 1, python=sys.executable, command=SHOW, hosts=INTERLEAVED)
    job = submit(cluster, made, tmp_path)
    assert job.code == 0, job.output
    prefill, decode = job.lines("prefill/hosts"), job.lines("decode/hosts")
    assert (len(prefill), decode) == (2, prefill[1:])
    found = {}
    for pool, instance, slot in (("prefill", 0, 0), ("prefill", 1, 0), ("prefill", 2, 1), ("decode", 0, 1)):
        seen = [json.loads(text)[1] for text in job.logs(0, instance, pool)]
        assert {row["SLURMD_NODENAME"] for row in seen} == {prefill[slot]}
        assert [row["LOCAL_RANK"] for row in seen] == ["0", "1"]
        found[pool, instance] = {row["CUDA_VISIBLE_DEVICES"] for row in seen}
    assert found == {
        ("prefill", 0): {"0,1"},
        ("prefill", 1): {"2,3"},
        ("prefill", 2): {"0,1"},
        ("decode", 0): {"2,3"},
    }


def test_a_node_that_fails_the_preflight_gives_way_for_both(cluster: Cluster, tmp_path: Path) -> None:
    text = "[[ $SLURMD_NODENAME != node001 ]] || { echo broken; exit 3; }"
    site = Site(name="test", slurm=SlurmSite(health_command=["bash", "-c", text]))
    made = sharing(2, 4, 3, 1, spares=1, python=sys.executable, site=site)
    job = submit(cluster, made, tmp_path)
    assert job.code == 0, job.output
    assert "node001" in "".join(job.lines("prefill/exclude")) == "".join(job.lines("decode/exclude"))
    assert "node001" not in job.lines("prefill/hosts")
    assert job.lines("decode/hosts") == job.lines("prefill/hosts")[1:]
