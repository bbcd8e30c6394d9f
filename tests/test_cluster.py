"""Slots, inventories and spans."""

from dataclasses import replace

import numpy as np
import pytest

from compiler.cluster.hosts import of_plan
from compiler.cluster.inventory import read
from compiler.cluster.slots import from_inventory, nominal
from compiler.cluster.spans import SPANS, distinct, most_shared, spans
from compiler.errors import ConfigError
from compiler.specs.hardware import Fabric, Hardware, Nic, Node, Nvlink
from compiler.words import natural

HARDWARE = Hardware(
    "test", 8, Node(4), nvlink=Nvlink(4, 1.0, 1.0), nic=Nic(4, 1.0, 1.0), fabric=Fabric("fat_tree", 2, 2)
)
TABLE = """host,leaf,pod,rack,note
node10,l2,p1,r2,x
node2,l2,p1,r2,x
node7,l1,p1,r1,x
node66,l1,p1,r1,x
"""


@pytest.mark.parametrize(
    ("ranks", "span"),
    [([0], "gpu"), ([0, 3], "nvlink"), ([0, 4], "leaf"), ([0, 8], "pod"), ([0, 16], "fabric"), ([4, 7, 5], "nvlink")],
)
def test_the_slowest_link_of_a_group(ranks: list[int], span: str) -> None:
    found = spans(np.array([ranks]), nominal(HARDWARE, 8))
    assert SPANS[found[0]] == span


@pytest.mark.parametrize(
    ("domain", "ranks", "span"),
    [(1, [0, 1], "node"), (2, [0, 1], "nvlink"), (2, [1, 2], "node"), (16, [0, 15], "nvlink"), (16, [0, 16], "fabric")],
)
def test_nvlink_domains_smaller_and_larger_than_a_node(domain: int, ranks: list[int], span: str) -> None:
    hardware = replace(HARDWARE, nvlink=Nvlink(domain, 1.0, 1.0))
    assert SPANS[spans(np.array([ranks]), nominal(hardware, 8))[0]] == span


def test_a_flat_fabric_is_one_leaf() -> None:
    slots = nominal(replace(HARDWARE, fabric=Fabric("flat")), 8)
    assert set(slots.leaf.tolist()) == {0}
    assert SPANS[spans(np.array([[0, 31]]), slots)[0]] == "leaf"


def test_slots_run_by_pod_leaf_and_host_in_natural_order() -> None:
    hosts = read(TABLE)
    assert [host.host for host in hosts] == ["node7", "node66", "node2", "node10"]
    slots = from_inventory(HARDWARE, hosts, 3, pin=True)
    assert slots.hosts == ("node7", "node66", "node2")
    assert slots.spares == ("node10",)
    assert slots.leaf.tolist() == [0, 0, 1]
    assert slots.leaf_names == ("l1", "l2")


def test_unpinned_slots_keep_the_topology_and_no_host() -> None:
    slots = from_inventory(HARDWARE, read(TABLE), 4, pin=False)
    assert not slots.pinned
    assert slots.leaf.tolist() == [0, 0, 1, 1]


def test_a_wide_nvlink_domain_is_a_rack() -> None:
    hardware = replace(HARDWARE, nvlink=Nvlink(8, 1.0, 1.0))
    slots = from_inventory(hardware, read(TABLE), 4, pin=True)
    assert SPANS[spans(np.array([[0, 7]]), slots)[0]] == "nvlink"
    assert SPANS[spans(np.array([[0, 8]]), slots)[0]] == "pod"


def test_a_rack_of_more_hosts_than_a_domain_holds_is_used_so_far_first() -> None:
    """Three hosts, domains of two: the third is a spare, or where it is needed a domain of its own."""
    rows = [f"n{i},l{i // 3},p,r{i // 3}" for i in range(6)]
    table = "\n".join(["host,leaf,pod,rack", *rows]) + "\n"
    hardware = replace(HARDWARE, nvlink=Nvlink(8, 1.0, 1.0), inventory=table)
    for nodes, hosts, domains in ((4, "n0 n1 n3 n4", [0, 0, 1, 1]), (5, "n0 n1 n2 n3 n4", [0, 0, 1, 2, 2])):
        slots = from_inventory(hardware, of_plan(replace(hardware, nodes=nodes)), nodes, pin=True)
        assert slots.hosts == tuple(hosts.split())
        assert slots.domain.tolist() == domains


def test_digits_sort_as_numbers() -> None:
    names = ["n10", "n9", "a", "n9b", "10", "9"]
    assert sorted(names, key=natural) == ["9", "10", "a", "n9", "n9b", "n10"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host,leaf\na,b\n", "no column pod, rack"),
        ("host,leaf,pod,rack\na b,l,p,r\n", "line 2: 'a b' is not a host name"),
        ("host,leaf,pod,rack\na,l,p,r\na,l,p,r\n", "line 3: host a is listed twice"),
        ("host,leaf,pod,rack\n,l,p,r\n", "line 2: '' is not a host name"),
    ],
)
def test_a_bad_inventory_is_named_by_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert message in str(caught.value)


def test_distinct_counts_ids_of_a_row() -> None:
    assert distinct(np.array([[1, 1, 2], [5, 5, 5], [1, 2, 3]])).tolist() == [2, 1, 3]


def test_a_row_counts_once_where_rows_share_an_id() -> None:
    assert most_shared(np.array([[1, 1, 2], [5, 5, 5], [0, 2, 3]])) == 2
    assert most_shared(np.array([[0, 0], [0, 1], [0, 2]])) == 3
