"""Constants and curves come back from what they made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fit_uncertainty, fits
from benchmarks.rows import training
from benchmarks.rows.hardware import nominal
from compiler.costs.calibration import KernelCurve, LinkCurve
from compiler.costs.constants import EIGHTY
from compiler.costs.software import Software
from compiler.costs.step import step
from compiler.speed.fit import kernels, levels, links
from compiler.speed.fit import training as steps
from tests.measured_rows import TRAIN, write


def test_a_gemm_curve_comes_back() -> None:
    gpu = nominal("h100_80gb").gpu
    curve = KernelCurve(0.7, 0.8, 5e-6, 2.5)
    shapes = [(m, n, k) for m in (1, 64, 512, 8192) for n in (4096, 16384) for k in (2048, 8192)]
    m, n, k = (np.array(column, dtype=float) for column in zip(*shapes, strict=True))
    work, moved = 2 * m * n * k / 989.4e12, 2 * (n * k + m * k + m * n) / 3.35e12
    seconds = curve.seconds(work, moved, m)
    samples = [{"m": a, "n": b, "k": c, "seconds": float(t)} for (a, b, c), t in zip(shapes, seconds, strict=True)]
    found, error = kernels.gemm(samples, gpu, "bf16")
    assert error < 0.02
    assert (found.efficiency, found.memory_efficiency) == pytest.approx((0.7, 0.8), rel=0.03)


def test_a_link_curve_comes_back() -> None:
    curve = LinkCurve(8e-6, 1e-6, 0.75, 0.1, 1e-5)
    samples: list[dict[str, float | str]] = []
    for ranks in (2, 4, 8):
        for power in range(16, 31):
            size = 2.0**power
            wire = np.array((ranks - 1) / ranks * size)
            time = float(curve.seconds(np.array(size), wire, np.array(float(ranks)), 450e9))
            samples.append({"bytes": size, "ranks": float(ranks), "seconds": time, "source": "us"})
    assert links.fit(samples, 1, 450e9)[1] < 0.02


def test_fitted_constants_explain_the_steps_that_they_made(tmp_path: Path) -> None:
    rows = [{**TRAIN, "id": f"{tp}{gbs}", "tp": str(tp), "dp": str(8 // tp), "gbs": str(gbs), "step_time_s": "1"}
            for tp in (1, 2, 4, 8) for gbs in (64, 256)]  # fmt: skip
    write(tmp_path, "dense_training.csv", *rows)
    samples = fits.steps(list(training.steps(tmp_path)))
    made = Software(products=1.3, core=1.5, tp=0.7, micro_s=4e-3)
    times = [float(np.max(step(work, made).total)) for work in samples.work]
    samples = replace(samples, target=np.log(times))
    assert np.abs(fits.said(samples, fits.fitted(samples)) / times - 1).max() < 0.02


def test_a_level_without_rows_changes_nothing() -> None:
    scheme = steps.SCHEME
    found = {("shared", "", "products"): 0.1, ("gpu", "h200", "products"): 0.2}
    design = scheme.design(list(found), [{"gpu": "h200"}, {"gpu": "other"}])
    values = scheme.values(design, np.array(list(found.values())))
    assert values["products"].tolist() == pytest.approx([0.3, 0.1])
    assert levels.balanced(["a", "a", "b"], 1, 1.0).tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 1])


def test_intervals_have_four_fifths_of_what_was_measured(tmp_path: Path) -> None:
    """A step that took twice what was said is off by the logarithm of 2; a row that lacks an input counts too."""
    rows = [
        {**TRAIN, "id": "a"},
        {**TRAIN, "id": "b", "source_id": "them"},
        {**TRAIN, "id": "c", "source_id": "them"},
        {**TRAIN, "id": "d", "source_id": "guessed", "recompute": ""},
    ]
    write(tmp_path, "dense_training.csv", *rows)
    found = fit_uncertainty.residuals(list(training.steps(tmp_path)), [7.0, 14.0, 14.0, 14.0], centred=True)["dense"]
    assert (found["rows"]["count"], found["bias"]) == (4, 0.0)
    assert found["spread"] == pytest.approx(np.log(2) / EIGHTY, abs=1e-3)
