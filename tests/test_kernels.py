"""Curves of engines' own kernels: a roofline, and what it misses over the sizes of a call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.rows import kernels as measured
from benchmarks.rows.hardware import nominal
from compiler.costs.arrays import array
from compiler.costs.calibration import KernelCurve, Measured
from compiler.costs.grid import Grid
from compiler.specs.hardware import Hardware
from compiler.speed import calibrated, kernels
from compiler.speed.fit import grids
from tests.measured_rows import SHARED

GPUS = sorted(path.stem for path in kernels.FOLDER.glob("*.yaml"))
PLAIN = KernelCurve(0.7, 0.8, 5e-6, 2.0, 1.0)


def test_a_grid_is_straight_between_knots_and_level_beyond() -> None:
    grid = Grid(((0.0, 2.0), (0.0, 1.0)), (0.0, 0.0, 100.0, 20.0))
    assert float(grid.factor(array(4.0), array(1.0))) == pytest.approx(np.exp(1.0))
    assert float(grid.factor(array(2.0), array(1.0))) == pytest.approx(np.exp(0.5))
    assert float(grid.factor(array(4.0), array(2**0.5))) == pytest.approx(np.exp(0.6))
    assert float(grid.factor(array(2.0**20), array(2.0**20))) == pytest.approx(np.exp(0.2))
    assert grid.factor(array([[1.0], [4.0]]), array([[1.0], [1.0]])).shape == (2, 1)


def test_a_fit_finds_what_a_roofline_misses() -> None:
    sizes = np.exp2(np.random.default_rng(0).uniform(0, 12, (2, 400)))
    work, moved = sizes[0] * 1e-6, sizes[1] * 1e-7
    steps = np.where(sizes[0] < 64, 1.5, 1.0)  # another kernel for few rows
    seconds = steps * PLAIN.seconds(work, moved, sizes[0])
    calls = grids.Calls(work, moved, sizes[0], seconds, (sizes[0], sizes[1]), np.ones(400))
    found = grids.fit(calls, ((0, 3, 5, 6, 7, 12), (0, 6, 12)))
    assert grids.error(calls, found) < 0.04


@pytest.mark.parametrize("gpu", GPUS)
def test_every_engine_has_curves_on_every_gpu(gpu: str) -> None:
    for engine in kernels.ORDER:
        found = kernels.sections(gpu, engine)
        assert {"gemm", "core"} <= set(found)
        assert all(
            curve.seconds(array(1e-5), array(1e-5), array(8.0), *_sizes(curve)) > 0 for curve in found["gemm"].values()
        )
        assert {"bf16"} <= set(found["gemm"])
        assert {"prefill_128", "decode_128", "decode_latent"} <= set(found["core"])


RECURRENT = {f"{phase}_{kind}" for phase in ("prefill", "decode") for kind in ("gated_delta", "kimi_delta")}


@pytest.mark.parametrize("gpu", sorted({*GPUS} - {"a100_80gb"}))
def test_rules_and_their_convolutions_have_curves(gpu: str) -> None:
    for engine in kernels.ORDER:
        found = kernels.sections(gpu, engine)["core"]
        assert {*RECURRENT, *(f"{name}_convolution" for name in RECURRENT)} <= set(found)
        assert {"prefill_mamba2_convolution", "decode_mamba2_convolution"} <= set(found)


def _sizes(curve: Measured) -> list[np.ndarray]:
    return [array(64.0)] * len(curve.grid.axes)


def test_no_gpu_takes_anothers_curve_where_it_has_its_own() -> None:
    def on(name: str) -> Hardware:
        return nominal(name)

    b200, b300 = (calibrated.served(on(name), "sglang") for name in ("b200", "b300"))
    assert b200.gemm["bf16"] != b300.gemm["bf16"]
    assert calibrated.served(on("h100_96gb"), "sglang").gemm == calibrated.served(on("h100_80gb"), "sglang").gemm
    assert not calibrated.served(on("mi300x"), "vllm").core


def test_what_a_site_measured_anew_stays() -> None:
    shipped = calibrated.curves(nominal("h100_80gb"))
    own = replace(shipped, gemm={**shipped.gemm, "bf16": PLAIN})
    found = kernels.on(own, "h100_80gb", "vllm", shipped)
    assert found.gemm["bf16"] is PLAIN
    assert isinstance(found.gemm["fp8"], Measured)
    assert kernels.on(shipped, "h100_80gb", "vllm", shipped).gemm["bf16"] is not PLAIN
    assert kernels.on(own, "h100_80gb", "vllm", own).joined is not None


@pytest.mark.skipif(not (SHARED / "kernels").is_dir(), reason="no measured kernels here")
def test_all_reduces_are_as_near_as_is_said() -> None:
    errors = [
        grids.error(calls, kernels.sections(gpu, engine)[section][name])
        for (gpu, engine, section, name), calls, _ in measured.measured(SHARED, ["joined"])
    ]
    assert len(errors) == 3 * len(GPUS)
    assert np.median(errors) < 0.08
