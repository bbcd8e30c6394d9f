"""Fabrics as clusters describe them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler import compile_plan
from compiler.cluster import hostlist
from compiler.cluster.inventory import read
from compiler.cluster.topology import table
from compiler.errors import ConfigError
from compiler.specs.site import KubernetesSite, TopologyKeys
from tests.command import BARE, call
from tests.topologies import BROKEN, EKS, REAL, TIER, Rows, graph, kubectl


def places(text: str, site: KubernetesSite | None = None) -> Rows:
    hosts = read(table("FILE", text, site or KubernetesSite()))
    return {host.host: (host.leaf, host.pod, host.rack) for host in hosts}


@pytest.mark.parametrize("shape", REAL)
def test_a_real_shape_is_read(shape: str) -> None:
    text, wanted = REAL[shape]
    assert places(text) == wanted


@pytest.mark.parametrize("shape", BROKEN)
def test_a_broken_one_is_refused_with_its_line(shape: str) -> None:
    text, said = BROKEN[shape]
    with pytest.raises(ConfigError) as caught:
        table("FILE", text, KubernetesSite())
    assert said in str(caught.value)
    assert str(caught.value).startswith("FILE")


@pytest.mark.parametrize("name", ["topology.conf", "nodes.json"])
def test_the_command_line_names_file_and_line(tmp_path: Path, name: str) -> None:
    broken = BROKEN["a loop" if name == "topology.conf" else "a node of Kubernetes without its label"]
    (tmp_path / name).write_text(broken[0])
    ran = call(BARE, f"hardware.inventory={name}", cwd=tmp_path)
    assert ran.code == 2
    assert f"error: hardware.inventory={name} {broken[1]}" in ran.err


def test_a_plan_holds_the_hosts_wherever_they_were_read_from(tmp_path: Path) -> None:
    (tmp_path / "topology.conf").write_text(
        "SwitchName=s1 Nodes=n[3-4]\nSwitchName=s0 Nodes=n[1-2]\nSwitchName=c Switches=s[0-1]\n"
    )
    degrees = ["parallel=tp4_dp8", "model=llama3_1_8b", BARE]
    plan = compile_plan([*degrees, f"hardware.inventory={tmp_path / 'topology.conf'}"])
    assert plan.world.slots.hosts == ("n1", "n2", "n3", "n4")
    folder = plan.write(tmp_path, "plan")
    assert (folder / "runtime/inventory.csv").read_text().startswith("host,leaf,pod,rack\nn3,s1,c,s1\n")
    ran = call("--config-dir=plan", "--config-name=config", "name=again", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/again/slots.csv").read_text() == (folder / "slots.csv").read_text()


class TestLabels:
    def test_the_site_says_which_are_meant(self) -> None:
        site = KubernetesSite(topology=TopologyKeys(leaf="rack", pod="hall"))
        text = kubectl(
            {"n1": {"rack": "r1", "hall": "h", EKS + "3": "x"}, "n2": {"rack": "r2", "hall": "h", EKS + "3": "x"}}
        )
        assert places(text, site) == {"n1": ("r1", "h", "r1"), "n2": ("r2", "h", "r2")}

    def test_a_site_of_the_command_line_is_asked_before_nodes_are_counted(self, tmp_path: Path) -> None:
        (tmp_path / "nodes.json").write_text(kubectl({f"n{i}": {"rack": f"r{i // 2}"} for i in range(4)}))
        given = ["parallel=tp4_dp8", "model=llama3_1_8b", BARE, "hardware.inventory=nodes.json"]
        assert call(*given, "site.kubernetes.topology.leaf=rack", cwd=tmp_path).code == 0
        assert "write site.kubernetes.topology.leaf: LABEL" in call(*given, cwd=tmp_path).err

    def test_nodes_with_fewer_gpus_than_the_plans_are_warned_of(self, tmp_path: Path) -> None:
        counts = {f"n{i}": "8" if i < 3 else "4" for i in range(4)}
        (tmp_path / "nodes.json").write_text(kubectl({name: {TIER + "0": "l0"} for name in counts}, counts))
        ran = call("parallel=tp4_dp8", "model=llama3_1_8b", BARE, "hardware.inventory=nodes.json", cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert (
            "inventory-gpus: 1 of 4 hosts of the inventory have fewer GPUs than a node of the plan, which has 8: n3 4"
            in ran.out
        )

    def test_a_domain_alone_is_the_leaf(self) -> None:
        assert places(kubectl({"n1": {"nvidia.com/gpu.clique": "a.1"}})) == {"n1": ("a.1", "", "a.1")}


class TestHostlist:
    @pytest.mark.parametrize(
        ("expression", "names"),
        [
            ("n1", "n1"),
            ("node[001-003,130]", "node001 node002 node003 node130"),
            ("a[9-11]", "a9 a10 a11"),
            ("r[1-2]n[0-1]-ib,x", "r1n0-ib r1n1-ib r2n0-ib r2n1-ib x"),
            ("a[08-10]", "a08 a09 a10"),
        ],
    )
    def test_stands_for_names(self, expression: str, names: str) -> None:
        assert hostlist.expand(expression) == tuple(names.split())

    @pytest.mark.parametrize(
        ("names", "expression"),
        [
            ("n08 n09 n10 n12", "n[08-10],n12"),
            ("n9 n10 n11", "n9,n[10-11]"),
            ("n2 n1 a x1 x2", "n2,n1,a,x[1-2]"),
            ("a1-x a2-x 7 8", "a1-x,a2-x,[7-8]"),
        ],
    )
    def test_is_made_of_names_that_it_gives_back(self, names: str, expression: str) -> None:
        assert hostlist.fold(names.split()) == expression
        assert hostlist.expand(expression) == tuple(names.split())

    @pytest.mark.parametrize(
        ("expression", "said"),
        [
            ("", "names nobody"),
            ("a,,b", "empty name"),
            ("a[1-2", "without its ]"),
            ("a]1", "a ] too many"),
            ("a[[1]]", "a [ too many"),
            ("a[3-1]", "ends before it begins"),
            ("a[]", "where a number or a range"),
            ("a[x-y]", "where a number or a range"),
            ("a[1-65536]b[1-3]", "more than 131,072"),
            ("a[0-9999999999999999999]", "where a number or a range"),
        ],
    )
    def test_or_says_what_is_wrong(self, expression: str, said: str) -> None:
        with pytest.raises(ValueError, match=r".") as caught:
            hostlist.expand(expression)
        assert said in str(caught.value)


NODES = 2048


def lines() -> str:
    leaves = [
        f"SwitchName=l{i} Level=0 LinkSpeed=1 Nodes=n[{i * 16:04}-{i * 16 + 15:04}]\n" for i in range(NODES // 16)
    ]
    return "".join(leaves) + "SwitchName=c Level=1 LinkSpeed=1 Nodes=n[0000-2047] Switches=l[0-127]\n"


def yaml() -> str:
    leaves = [f"    - switch: l{i}\n      nodes: n[{i * 16:04}-{i * 16 + 15:04}]\n" for i in range(NODES // 16)]
    return "- topology: t\n  tree:\n    switches:\n    - {switch: c, children: 'l[0-127]'}\n" + "".join(leaves)


def nodes() -> str:
    """With what Kubernetes lists beside: 14 kB a node."""
    text = kubectl({f"n{i:04}": {TIER + "0": f"l{i // 16}", TIER + "1": "c"} for i in range(NODES)}, indent=4)
    found = json.loads(text)
    for item in found["items"]:
        item["status"]["images"] = [
            {"names": [f"registry.example/image{i}@sha256:{'a' * 64}"], "sizeBytes": i} for i in range(50)
        ]
    return json.dumps(found, indent=4)


def instances() -> str:
    return graph({f"n{i:04}": [f"l{i // 16}", "c"] for i in range(NODES)})


@pytest.mark.parametrize("make", [lines, yaml, nodes, instances])
def test_two_thousand_nodes_are_read_in_a_second(make: Callable[[], str]) -> None:
    text = make()
    start = time.process_time()
    found = places(text)
    assert time.process_time() - start < 1
    assert len(found) == NODES
    assert found["n0017"] == ("l1", "c", "l1")


def test_what_kubernetes_lists_may_be_longer_than_a_table(tmp_path: Path) -> None:
    text = nodes()
    assert len(text) > 2**23
    (tmp_path / "nodes.json").write_text(text)
    ran = call(
        BARE,
        "hardware.inventory=nodes.json",
        "parallel=ep16_tp4_pp4_dp64",
        "workload.global_batch_size=8192",
        cwd=tmp_path,
    )
    assert ran.code == 0, ran.err
