"""Collectives of measurements: curves come back, and what was not measured is predicted as the program would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cross, curves, judgement
from benchmarks.predict import predict
from benchmarks.rows import transfers
from benchmarks.rows.hardware import nominal
from benchmarks.rows.record import Record, Row
from compiler import gpus
from compiler.costs.calibration import GpuCalibration, LinkCurve
from compiler.costs.comm.algorithms import ALGORITHMS
from compiler.speed.fit import links
from tests.measured_rows import MOVED, SHARED, write

MADE = LinkCurve(7e-6, 1e-6, 0.75, 0.1, 1e-5)
NAMES = {"all_reduce": "all_reduce", "all_gather": "all_gather", "all_to_all": "alltoall"}


def calls(gpu: str, op: str = "all_reduce", source: str = "us", slower: float = 1.0) -> Iterator[Row]:
    """64 KiB to 1 GiB over 2, 4 and 8 GPUs, as one curve has it."""
    curve = replace(MADE, hop_s=MADE.hop_s * ALGORITHMS[op].passes, ramp_s=MADE.ramp_s * ALGORITHMS[op].passes)
    bandwidth = nominal({"H100 SXM": "h100_80gb", "H200 SXM": "h200", "A100 SXM": "a100_80gb"}[gpu]).nvlink.bandwidth
    for ranks in (2, 4, 8):
        for power in range(16, 31):
            wire = ALGORITHMS[op].passes * (ranks - 1) / ranks * 2.0**power
            time = slower * float(curve.seconds(np.array(2.0**power), np.array(wire), np.array(ranks), bandwidth))
            row = {**MOVED, "id": f"{gpu}-{op}-{ranks}-{power}", "source_id": source, "gpu": gpu, "op": NAMES[op]}
            yield {**row, "gpus": str(ranks), "size_bytes": str(2**power), "time_us": str(1e6 * time)}


def records(tmp_path: Path, *rows: Row) -> list[Record]:
    write(tmp_path, "collectives.csv", *rows)
    return list(transfers.records(tmp_path))


def off(found: list[Record], values: list[float], gpu: str, op: str = "all_reduce") -> float:
    """Mean error of a GPU's operation."""
    kept = [
        value / record.measured - 1
        for record, value in zip(found, values, strict=True)
        if record.gpu == gpu and (record.ask or {})["op"] == op and np.isfinite(value)
    ]
    assert len(kept) == 3 * 11  # from 1 MiB on
    return float(np.mean(kept))


def test_a_gpu_that_is_left_out_takes_its_kins_curves(tmp_path: Path) -> None:
    """And nothing of its own rows: they are twice as slow, and the prediction does not know."""
    found = records(tmp_path, *calls("H100 SXM"), *calls("H200 SXM", slower=2.0), *calls("A100 SXM", slower=9.0))
    assert off(found, cross.left_out(found, "model"), "h200") == pytest.approx(-0.5, abs=0.03)
    assert off(found, cross.left_out(found, "model"), "h100_80gb") == pytest.approx(1.0, abs=0.06)


def test_a_kin_with_other_bandwidth_is_scaled(tmp_path: Path) -> None:
    found = records(tmp_path, *calls("H100 SXM"), *calls("A100 SXM"))
    assert off(found, cross.left_out(found, "model"), "a100_80gb") == pytest.approx(0, abs=0.04)


@pytest.mark.parametrize("op", ["all_gather", "all_to_all"])
def test_an_operation_of_a_source_that_is_left_out_takes_another_ones_curve(tmp_path: Path, op: str) -> None:
    found = records(tmp_path, *calls("H100 SXM", source="a"), *calls("H100 SXM", op, source="b"))
    assert off(found, cross.left_out(found, "source"), "h100_80gb", op) == pytest.approx(0, abs=0.06)


def test_kin_is_of_the_same_architecture_or_of_the_next() -> None:
    known = ["a100_80gb", "b200", "gb200_nvl72", "h200"]
    assert [curves.kin(gpu, known) for gpu in ("h100_80gb", "b200", "a100_40gb")] == [
        "h200",
        "gb200_nvl72",
        "a100_80gb",
    ]
    assert curves.kin("a100_80gb", ["b200", "h100_80gb"]) == "h100_80gb"
    assert (curves.kin("mi300x", known), curves.kin("h100_80gb", [])) == ("", "")


def test_no_curves_of_later_gpus_reduce_in_the_switch_of_an_earlier_one() -> None:
    found = GpuCalibration("h100_80gb", links={"all_reduce": replace(MADE, switched=0.7)})
    switched = [gpus.on(name, found).links["all_reduce"].switched for name in ("h200", "lab", "a100_40gb")]
    assert switched == [0.7, 0.7, 1.0]


def test_rings_do_without_the_switch(tmp_path: Path) -> None:
    ring, switch = predict(records(tmp_path, {**MOVED, "algo": "Ring"}, {**MOVED, "algo": "NVLS"}))
    assert ring > 1.1 * switch


@pytest.mark.parametrize(("nic", "hop_s"), [("CX7", 5e-6), ("8x 400Gb/s EFA v4 per node", 40e-6), ("EFA", 80e-6)])
def test_a_network_has_its_latency(tmp_path: Path, nic: str, hop_s: float) -> None:
    found = records(tmp_path, {**MOVED, "gpus": "32", "nodes": "4", "nic": nic})[0]
    assert (found.ask or {})["hardware"].nic.latency == pytest.approx(hop_s)


def test_groups_of_one_size_still_tell_what_peers_add() -> None:
    """A site measures its 8 GPUs; its groups of two are predicted from that."""
    sizes = np.exp2(np.arange(16.0, 31.0))
    made = replace(MADE, hop_s=3e-6)
    eight, two = (made.seconds(sizes, (n - 1) / n * sizes, np.array(float(n)), 450e9) for n in (8, 2))
    samples: list[links.Sample] = [
        {"bytes": float(size), "ranks": 8.0, "seconds": float(time), "source": "us"}
        for size, time in zip(sizes, eight, strict=True)
    ]
    found = links.fit(samples, 1, 450e9)[0].seconds(sizes, sizes / 2, np.array(2.0), 450e9)
    assert np.abs(found / two - 1).max() < 0.15


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no measurements here")
@pytest.mark.parametrize("part", ["source", "model"])
def test_collectives_are_projected_as_well_where_they_were_not_measured(part: str) -> None:
    found = list(transfers.records(SHARED))
    values = cross.left_out(found, part)
    judged = [judgement.Judged(r, value) for r, value in zip(found, values, strict=True) if np.isfinite(value)]
    assert len(judged) == 802
    assert judgement.family_error(judged) < 0.15
