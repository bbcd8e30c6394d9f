"""Predictions of measured rows are what plans print, are judged, and are as near as is said."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy, cross, fits, judgement, refused
from benchmarks.fit_uncertainty import merged
from benchmarks.predict import predict
from benchmarks.rows import training
from benchmarks.rows.record import Record
from compiler.costs.calibration import Calibration
from compiler.speed import calibrated
from tests.costed import cost
from tests.measured_rows import SHARED, TRAIN, steps_of, write


@pytest.mark.parametrize("layers", ["80", "78"])
def test_a_prediction_is_what_a_plan_prints(tmp_path: Path, layers: str) -> None:
    """The replay of its own schedule, over equal stages and over unequal ones."""
    record = steps_of(tmp_path, layers=layers)
    assert record.world is not None
    config = record.world.config
    software = calibrated.software(*record.software, config.hardware.name, config.workload.precision)
    gpu = calibrated.gpu(config.hardware.calibration or "")
    assert gpu is not None
    measured = Calibration(gpu, software=software)
    projection = cost(record.world, measured).projection
    assert projection is not None
    assert predict([record]) == [pytest.approx(projection.step_time_s)]


@pytest.mark.parametrize("field", ["id", "source_id", "model", "notes"])
def test_no_name_changes_a_prediction(tmp_path: Path, field: str) -> None:
    values = [judgement.judge([steps_of(tmp_path, **{field: text})])[0].predicted for text in ("x", "DeepSeek")]
    assert values[0] == values[1] > 0


def test_a_familys_error_is_the_mean_over_its_sources() -> None:
    def judged(source: str, predicted: float) -> judgement.Judged:
        return judgement.Judged(Record("tpot", "x", source, "m", "tpot_s", 1.0), predicted)

    found = [judged("many", 1.1)] * 99 + [judged("few", 0.7)]
    assert judgement.family_error(found) == pytest.approx(0.2)


def test_every_record_has_a_line(tmp_path: Path) -> None:
    write(tmp_path, "dense_training.csv", TRAIN, {**TRAIN, "id": "b", "mbs": ""})
    assert accuracy.main(["--rows", str(tmp_path), "--csv", str(tmp_path / "out.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(row["id"], row["skipped"]) for row in rows] == [("a", ""), ("b", "no mbs")]
    assert float(rows[0]["error_pct"]) == pytest.approx(100 * (float(rows[0]["predicted"]) / 14 - 1), abs=0.01)


def test_a_row_that_lacks_an_input_is_skipped_and_judged_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "dense_training.csv", TRAIN, {**TRAIN, "id": "b", "recompute": "", "step_time_s": "1"})
    assert accuracy.main(["--rows", str(tmp_path), "--csv", str(tmp_path / "out.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(row["skipped"], bool(row["predicted"])) for row in rows] == [("", True), ("no recompute", False)]
    above, _, below = capsys.readouterr().out.partition("skipped rows, were the input that they lack as is usual")
    family, apart = above.splitlines()[1], below.splitlines()[1]
    assert (family.split()[1], family.split()[-1], apart.split()[1]) == ("1", "1", "1")
    assert float(apart.split()[2]) > 500 > float(family.split()[2])
    assert "1 of 1 fully specified training rows" in below


def test_fits_learn_from_rows_that_lack_an_input(tmp_path: Path) -> None:
    write(tmp_path, "dense_training.csv", TRAIN, {**TRAIN, "id": "b", "recompute": ""})
    assert len(fits.steps(list(training.steps(tmp_path))).records) == 2


@pytest.mark.parametrize(("recompute", "why"), [("", "no recompute"), ("none", refused.UNEXPLAINED)])
def test_a_run_beyond_a_gpus_memory_is_listed_with_its_cause(tmp_path: Path, recompute: str, why: str) -> None:
    """70B whole on each GPU ran nowhere; that over 64 of them did."""
    alone = steps_of(tmp_path, tp="1", pp="1", vpp="1", cp="1", dp="64", recompute=recompute)
    (line,) = refused.runs([alone, steps_of(tmp_path)])
    assert line.endswith(f"a: {why}")


@pytest.mark.parametrize(
    ("unseen", "parts"),
    [
        ((), ("model",)),
        (("release 9 of megatron: the constants of its latest",), ("model", "date")),
        (("hardware h: the constants of all GPUs together",), ("model", "date", "source")),
    ],
)
def test_a_training_interval_is_of_what_is_near(unseen: tuple[str, ...], parts: tuple[str, ...]) -> None:
    assert calibrated.left_out(unseen, train=True) == parts
    assert set(calibrated.left_out(unseen, train=False)) >= {"model", "source"}


def test_families_that_are_fitted_anew_leave_the_others() -> None:
    old = {"fit": {"tpot": 1, "dense": 2}}
    assert merged(old, {"fit": {"dense": 3, "ttft": 4}}, {"dense"}) == {"fit": {"dense": 3, "tpot": 1}}


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert accuracy.main(["--rows", str(tmp_path / "no")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_a_release_that_is_left_out_is_what_the_program_takes_for_it(tmp_path: Path) -> None:
    releases = ("nemo-25.02", "nemo-25.11", "megatron-lm-2022")
    write(tmp_path, "dense_training.csv", *({**TRAIN, "id": name, "release": name} for name in releases))
    samples = fits.steps(list(training.steps(tmp_path)))
    keys = cross.as_released({"release": "megatron/nemo-99"}, samples, fits.fitted(samples))
    assert (keys["release"], keys["product"]) == ("megatron/nemo-25.11", "megatron/nemo")


def test_memory_is_predicted_as_ever_where_others_are_left_out(tmp_path: Path) -> None:
    row = {**TRAIN, "peak_alloc_gib": "50", "measure": "", "stage_or_rank": "", "framework": "torchtitan"}
    write(tmp_path, "memory.csv", row)
    records = list(training.memories(tmp_path))
    assert cross.left_out(records, "source") == [judged.predicted for judged in judgement.judge(records)]
    assert records[0].skipped == ""


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no measurements here")
def test_projections_are_as_near_as_is_said() -> None:
    """In sample; the held-out errors are in the docs."""
    judged = judgement.judge(accuracy.load(SHARED))
    found = judgement.by(judged, lambda item: item.record.family)
    limits = {"dense_training": 0.06, "dense_single_node": 0.08, "moe_training": 0.06, "memory": 0.02}
    limits |= {"tpot": 0.20, "ttft": 0.30, "serving_throughput": 0.25, "collectives": 0.08}
    for family, limit in limits.items():
        assert judgement.family_error([x for x in found[family] if judgement.usable(x)]) < limit, family


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no measurements here")
@pytest.mark.parametrize("part", ["source", "model"])
def test_training_is_projected_as_well_where_it_was_not_measured(part: str) -> None:
    """Each source, or model, by constants from the others: rows with every input, and with those that lack one."""
    records = [*training.steps(SHARED), *training.memories(SHARED)]
    judged = [judgement.Judged(*pair) for pair in zip(records, cross.left_out(records, part), strict=True)]
    every = judgement.by(filter(judgement.usable, judged), lambda item: item.record.family)
    for family, limit in {"dense_training": 0.10, "dense_single_node": 0.10, "memory": 0.06}.items():
        assert judgement.family_error(every[family]) < limit, family
    assert np.median([abs(item.error) for item in every["moe_training"]]) < 0.25
    counted = judgement.by((item for item in judged if not judgement.reason(item)), lambda item: item.record.family)
    for family, limit in {"dense_training": 0.10, "moe_training": 0.13}.items():
        assert judgement.family_error(counted[family]) < limit, family
