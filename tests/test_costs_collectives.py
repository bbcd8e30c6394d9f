"""Collectives: bytes on the wire, their seconds, and what they run over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import GpuCalibration, LinkCurve, assumed_curves
from compiler.costs.comm.algorithms import ALGORITHMS
from compiler.costs.comm.collectives import seconds as seconds_by
from compiler.costs.comm.collectives import wire_bytes
from compiler.costs.comm.links import Reach, between_copies, reach, within_copy
from compiler.specs.hardware import Fabric, Hardware, Nvlink
from tests.worlds import GENERIC, world

LARGE = array(16 * 2.0**30)
B200 = replace(GENERIC, nvlink=Nvlink(8, 900e9, 1e-6))
OPS = tuple(ALGORITHMS)
MI300X = replace(GENERIC, nvlink=Nvlink(8, 448e9, 1e-6, mesh=True))


def seconds(op: str, payload: Array, where: Reach, hardware: Hardware, copies: int = 0) -> Array:
    """By assumed curves."""
    return seconds_by(op, payload, where, hardware, assumed_curves(hardware), copies)


@pytest.mark.parametrize(
    ("op", "size", "expected"),
    [
        ("all_reduce", 4, 1.5),
        ("all_gather", 4, 0.75),
        ("reduce_scatter", 8, 0.875),
        ("all_to_all", 16, 0.9375),
        ("send_recv", 4, 1),
    ],
)
def test_bytes_on_the_wire(op: str, size: int, expected: float) -> None:
    assert wire_bytes(op, array(100.0), size) == 100 * expected


@pytest.mark.parametrize("op", OPS)
def test_a_group_of_one_costs_nothing(op: str) -> None:
    assert seconds(op, LARGE, Reach("tp", 1, "gpu", 1), GENERIC) == 0
    assert wire_bytes(op, LARGE, 1) == 0


@pytest.mark.parametrize(
    ("op", "where", "hardware", "bus_bandwidth"),
    [
        ("all_gather", Reach("tp", 8, "nvlink", 1), GENERIC, 335e9),
        ("all_to_all", Reach("ep", 8, "nvlink", 1), GENERIC, 310e9),
        ("all_reduce", Reach("dp", 32, "leaf", 4), B200, 382e9),
        ("all_reduce", Reach("tp", 2, "nvlink", 1), MI300X, 47.7e9),
        ("all_reduce", Reach("tp", 8, "nvlink", 1), MI300X, 313e9),
    ],
    ids=["H100 all_gather", "H100 all_to_all", "4 nodes of B200 all_reduce", "2 of a mesh of MI300X", "8 of it"],
)
def test_large_messages_reach_measured_bandwidth(
    op: str, where: Reach, hardware: Hardware, bus_bandwidth: float
) -> None:
    found = wire_bytes(op, LARGE, where.size) / seconds(op, LARGE, where, hardware)
    assert found == pytest.approx(bus_bandwidth, rel=0.065)


def test_small_all_reduce_takes_its_measured_floor() -> None:
    assert seconds("all_reduce", array(8.0), Reach("tp", 8, "nvlink", 1), GENERIC) == pytest.approx(13e-6, rel=0.05)


def test_an_operation_without_a_curve_takes_its_nearest_ones() -> None:
    """An all_reduce is a reduce_scatter and an all_gather, each half of it, of which the switch does nothing."""
    gpu = GpuCalibration(links={"all_reduce": LinkCurve(0.0, 1e-6, 0.8, 0.1, 1e-5, switched=0.7)})
    whole = float(seconds_by("all_reduce", LARGE, Reach("tp", 4, "nvlink", 1), GENERIC, gpu))
    for op in ("all_gather", "reduce_scatter"):
        assert float(seconds_by(op, LARGE, Reach("tp", 4, "nvlink", 1), GENERIC, gpu)) == pytest.approx(whole / 2)
        half = float(seconds_by(op, LARGE, Reach("tp", 8, "nvlink", 1), GENERIC, gpu.without_switch()))
        assert float(seconds_by(op, LARGE, Reach("tp", 8, "nvlink", 1), GENERIC, gpu)) == half
    gathered = GpuCalibration(links={"all_gather": LinkCurve(0.0, 1e-6, 0.8, 0.1, 1e-5)})
    parts = [float(seconds_by(op, LARGE, Reach("tp", 4, "nvlink", 1), GENERIC, gathered)) for op in OPS[:2]]
    assert parts[0] == pytest.approx(2 * parts[1])


@pytest.mark.parametrize("op", OPS)
def test_farther_is_not_faster(op: str) -> None:
    oversubscribed = replace(GENERIC, fabric=Fabric("fat_tree", 4, 4, 2.0))
    near = [Reach("ep", 16, span, 16) for span in ("leaf", "pod", "fabric")]
    found = [float(seconds(op, LARGE, where, oversubscribed)) for where in near]
    assert found == sorted(found)
    assert found[1] > 1.9 * found[0]
    assert float(seconds(op, LARGE, Reach("ep", 16, "nvlink", 1), oversubscribed)) < found[0]


def test_seconds_are_arrays_over_sizes() -> None:
    sizes = array([1e3, 1e6, 1e9])
    where = Reach("dp", 16, "leaf", 2)
    assert seconds("all_reduce", sizes, where, GENERIC).tolist() == [
        float(seconds("all_reduce", array(size), where, GENERIC)) for size in sizes
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("tp", Reach("tp", 4, "nvlink", 1)),
        ("ep", Reach("ep", 16, "leaf", 8)),
        ("pp", Reach("pp", 4, "pod", 4)),
        ("edp", Reach("edp", 4, "pod", 4)),
        ("cp", Reach("cp", 1, "gpu", 1)),
    ],
)
def test_reach_of_the_strategy(kind: str, expected: Reach) -> None:
    assert reach(world(), kind) == expected


def test_gpus_without_nvlink_and_missing_slots() -> None:
    alone = replace(GENERIC, nvlink=Nvlink(1, 1e9, 1e-6))
    assert reach(world("tp4", hardware=alone), "tp") == Reach("tp", 4, "node", 4)
    cramped = replace(world("tp4_dp4"), slots=world("tp4", hardware=replace(GENERIC, nodes=1)).slots)
    assert reach(cramped, "tp") == Reach("tp", 4, "fabric", 4)


def test_a_deduplicated_dispatch_crosses_each_domain_once() -> None:
    """16 copies over 4 domains of 8 ranks: 4(1 - (3/4)^16) of them leave, and the network is what counts."""
    far = Reach("ep", 32, "leaf", 4)
    naive, once = (float(seconds("all_to_all", LARGE, far, B200, copies=copies)) for copies in (0, 16))
    assert once / naive == pytest.approx(4 * (1 - 0.75**16) / 16, rel=0.01)


def test_a_copy_is_a_run_of_its_group() -> None:
    whole, four = Reach("dp", 64, "leaf", 16), array(4)
    inside, across = within_copy(whole, four), between_copies(whole, four)
    assert (inside.size, inside.domains, inside.span) == (16, 4, "leaf")
    assert (across.size, across.domains, across.span) == (4, 4, "leaf")
    node = within_copy(whole, array(16))
    assert (node.size, node.domains, node.span) == (4, 1, "nvlink")
