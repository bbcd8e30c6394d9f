"""Rows of measurements become plans by themselves, and constants come back from what they made."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy, cross, fits
from benchmarks.predict import predict
from benchmarks.rows import serving, training
from benchmarks.rows.hardware import nominal
from benchmarks.rows.record import Record, Row
from compiler import calibrated
from compiler.costs.calibration import Calibration, KernelCurve, LinkCurve
from compiler.costs.software import Software
from compiler.costs.step import step
from compiler.costs.total import cost
from compiler.fitting import kernels, levels, links
from compiler.fitting import training as steps
from compiler.specs.hardware import Gpu

SHARED = Path(__file__).parents[1].parent / "shared" / "measurements"
TRAIN = {
    "id": "a", "source_id": "us", "framework": "megatron", "release": "nemo-25.05", "model": "m", "layers": "80",
    "hidden": "8192", "ffn": "28672", "act": "swiglu", "heads": "64", "kv_heads": "8", "head_dim": "128", "attn": "gqa",
    "vocab": "128256", "seq": "8192", "experts": "", "gpu": "H100 SXM 80GB", "gpus": "64", "precision": "BF16", "tp": "4",
    "pp": "4", "vpp": "5", "cp": "2", "dp": "2", "mbs": "1", "gbs": "128", "seq_parallel": "", "recompute": "",
    "dist_optimizer": "", "notes": "", "step_time_s": "14.0",
}  # fmt: skip
COLUMNS = "moe_balance moe_dispatcher intra_node gpus_per_node ep etp topk moe_ffn shared_expert_ffn dense_layers mtp_layers fsdp_shard task tokens_s_gpu tokens_s_total".split()


def write(folder: Path, name: str, *rows: Row) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / name).open("w", newline="") as file:
        out = csv.DictWriter(file, [*keys, *(c for c in COLUMNS if c not in keys)], restval="")
        out.writeheader()
        out.writerows(rows)


def steps_of(tmp_path: Path, **changes: str) -> Record:
    write(tmp_path, "dense_training.csv", {**TRAIN, **changes})
    return next(training.steps(tmp_path))


def test_a_row_is_a_plan(tmp_path: Path) -> None:
    world = steps_of(tmp_path).world
    assert world is not None
    config, degrees = world.config, world.degrees
    assert (degrees.tp, degrees.cp, degrees.pp, degrees.vpp, degrees.adp, world.size) == (4, 2, 4, 5, 2, 64)
    assert (config.workload.global_batch_size, config.workload.precision, config.hardware.name) == (
        128,
        "bf16",
        "h100_80gb",
    )
    assert config.model.gated_mlp


@pytest.mark.parametrize(("act", "gated"), [("swiglu", True), ("geglu", True), ("gelu", False), ("relu2", False)])
def test_gated_activations_are_known_by_name(tmp_path: Path, act: str, *, gated: bool) -> None:
    world = steps_of(tmp_path, act=act).world
    assert world is not None
    assert world.config.model.gated_mlp == gated


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


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mbs": ""}, "no mbs"),
        ({"dp": "3"}, "degrees do not make the number of GPUs"),
        ({"attn": "hybrid mamba2+gqa"}, "Mamba layers or compressed attention"),
        ({"gpu": "Gaudi 3"}, "no file for GPU Gaudi 3"),
        ({"step_time_s": ""}, "no step time and no tokens/s"),
        ({"precision": ""}, "no precision"),
        ({"task": "lora"}, "LoRA adapters"),
    ],
)
def test_a_row_that_lacks_an_input_is_skipped_with_the_reason(
    tmp_path: Path, changes: dict[str, str], why: str
) -> None:
    record = steps_of(tmp_path, **changes)
    assert (record.world, record.skipped) == (None, why)


@pytest.mark.parametrize("field", ["id", "source_id", "model", "notes"])
def test_no_name_changes_a_prediction(tmp_path: Path, field: str) -> None:
    values = [accuracy.judge([steps_of(tmp_path, **{field: text})])[0].predicted for text in ("x", "DeepSeek")]
    assert values[0] == values[1] > 0


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"tp": "8", "ep": "8", "attn_dp": "1", "moe_tp": "1"}, (8, 1, 8, 1)),
        ({"tp": "64", "ep": "8", "attn_dp": "1", "moe_tp": "8"}, (8, 1, 8, 1)),
        ({"tp": "1", "ep": "8", "attn_dp": "64", "moe_tp": "8"}, (1, 8, 8, 1)),
        ({"tp": "4", "ep": "16", "attn_dp": "4", "moe_tp": "1"}, (1, 4, 4, 1)),
        ({"tp": "4", "ep": "2", "attn_dp": "1", "moe_tp": "2"}, (4, 1, 2, 2)),
        ({"tp": "4", "ep": "1", "attn_dp": "", "moe_tp": "4"}, (4, 1, 1, 4)),
    ],
)
def test_a_rank_of_several_kinds_is_one_rank(columns: dict[str, str], expected: tuple[int, ...]) -> None:
    found = serving.degrees({"pp": "1", **columns})
    assert (found.tp, found.adp, found.ep, found.etp) == expected


def test_a_familys_error_is_the_mean_over_its_sources() -> None:
    def judged(source: str, predicted: float) -> accuracy.Judged:
        return accuracy.Judged(Record("tpot", "x", source, "m", "tpot_s", 1.0), predicted)

    found = [judged("many", 1.1)] * 99 + [judged("few", 0.7)]
    assert accuracy.family_error(found) == pytest.approx(0.2)


def test_every_record_has_a_line(tmp_path: Path) -> None:
    write(tmp_path, "dense_training.csv", TRAIN, {**TRAIN, "id": "b", "mbs": ""})
    assert accuracy.main(["--rows", str(tmp_path), "--csv", str(tmp_path / "out.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(row["id"], row["skipped"]) for row in rows] == [("a", ""), ("b", "no mbs")]
    assert float(rows[0]["error_pct"]) == pytest.approx(100 * (float(rows[0]["predicted"]) / 14 - 1), abs=0.01)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert accuracy.main(["--rows", str(tmp_path / "no")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_a_gemm_curve_comes_back() -> None:
    gpu = calibrated_gpu()
    curve = KernelCurve(0.7, 0.8, 5e-6, 2.5)
    shapes = [(m, n, k) for m in (1, 64, 512, 8192) for n in (4096, 16384) for k in (2048, 8192)]
    m, n, k = (np.array(column, dtype=float) for column in zip(*shapes, strict=True))
    work, moved = 2 * m * n * k / 989.4e12, 2 * (n * k + m * k + m * n) / 3.35e12
    seconds = curve.seconds(work, moved, m)
    samples = [{"m": a, "n": b, "k": c, "seconds": float(t)} for (a, b, c), t in zip(shapes, seconds, strict=True)]
    found, error = kernels.gemm(samples, gpu, "bf16")
    assert error < 0.02
    assert (found.efficiency, found.memory_efficiency) == pytest.approx((0.7, 0.8), rel=0.03)


def calibrated_gpu() -> Gpu:
    return nominal("h100_80gb").gpu


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
    assert cross.left_out(records, "source") == [judged.predicted for judged in accuracy.judge(records)]
    assert records[0].skipped == ""


def test_products_and_generations_are_read_off_names() -> None:
    releases = ("megatron/nemo-25.11", "megatron/megatron-lm-2022", "llm-foundry/2023")
    assert [calibrated.product(name) for name in releases] == ["megatron/nemo", "megatron/megatron-lm", ""]
    clusters = ("a100_40gb", "h200", "gb300_nvl72", "mi300x")
    assert [calibrated.generation(name) for name in clusters] == ["ampere", "hopper", "blackwell", ""]


def test_an_unknown_release_is_its_frameworks_latest() -> None:
    table: dict[str, dict[str, dict[str, float]]] = {
        "release": {"megatron/lm-3": {}, "megatron/nemo-25.9": {}, "megatron/nemo-25.11": {}, "vllm/1.0": {}}
    }
    assert calibrated.release_key(table, "megatron", "lm-9") == "megatron/lm-3"
    assert calibrated.release_key(table, "megatron", "0.15") == "megatron/nemo-25.11"
    assert calibrated.release_key(table, "megatron", "nemo-99") == "megatron/nemo-25.11"
    assert calibrated.release_key(table, "megatron", "nemo-25.9") == "megatron/nemo-25.9"
    assert calibrated.release_key(table, "maxtext", "1") == ""


def test_a_named_build_is_no_latest_release() -> None:
    table: dict[str, dict[str, dict[str, float]]] = {
        "release": {"vllm/0.9.2": {}, "vllm/0.19.0": {}, "vllm/nightly-5b8": {}, "vllm/": {}}
    }
    assert calibrated.release_key(table, "vllm", "1.0") == "vllm/0.19.0"
    assert calibrated.release_key(table, "vllm", "") == "vllm/"


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no measurements here")
def test_projections_are_as_near_as_is_said() -> None:
    """In sample; the held-out errors are in the docs."""
    judged = accuracy.judge(accuracy.load(SHARED))
    found = accuracy.by(judged, lambda item: item.record.family)
    limits = {"dense_training": 0.06, "dense_single_node": 0.08, "moe_training": 0.06, "memory": 0.02}
    limits |= {"tpot": 0.20, "ttft": 0.30, "serving_throughput": 0.25, "collectives": 0.08}
    for family, limit in limits.items():
        assert accuracy.family_error([x for x in found[family] if not accuracy.reason(x)]) < limit, family


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no measurements here")
@pytest.mark.parametrize("part", ["source", "model"])
def test_training_is_projected_as_well_where_it_was_not_measured(part: str) -> None:
    """Each source, or model, by constants from the others. A release that alone runs at a third of the speed cannot be."""
    records = [*training.steps(SHARED), *training.memories(SHARED)]
    values = cross.left_out(records, part)
    judged = [
        accuracy.Judged(record, value) for record, value in zip(records, values, strict=True) if np.isfinite(value)
    ]
    found = accuracy.by(judged, lambda item: item.record.family)
    for family, limit in {"dense_training": 0.10, "dense_single_node": 0.10, "memory": 0.06}.items():
        assert accuracy.family_error(found[family]) < limit, family
    assert np.median([abs(item.error) for item in found["moe_training"]]) < 0.25


@pytest.mark.parametrize(
    ("layers", "parts", "expected"),
    [
        (80, 20, [4] * 20),
        (94, 32, [2, *[3] * 30, 2]),
        (61, 4, [16, 16, 16, 13]),
        (61, 16, [*[4] * 15, 1]),
        (61, 32, [*[2] * 29, 1, 1, 1]),
        (7, 4, [2, 2, 2, 1]),
    ],
)
def test_layers_that_do_not_divide_leave_the_last_stage_fewer(layers: int, parts: int, expected: list[int]) -> None:
    assert training.split(layers, parts) == expected


def test_nemo_counts_a_head_of_several_tokens_as_two_layers(tmp_path: Path) -> None:
    changes = {"layers": "61", "vpp": "1", "mtp_layers": "1"}
    for release, expected in (("nemo-25.05", [15, 16, 16, 14]), ("nemo-25.09", [16, 16, 16, 13])):
        world = steps_of(tmp_path, **changes, release=release).world
        assert world is not None
        assert list(world.config.parallel.stages or []) == expected


def test_stages_that_a_note_draws_are_taken(tmp_path: Path) -> None:
    notes = "recipe X; pp_layout Et*18|(t*21|)*2t*20L; moe_a2a_overlap=True"
    world = steps_of(tmp_path, vpp="1", notes=notes).world
    assert world is not None
    assert list(world.config.parallel.stages or []) == [18, 21, 21, 20]
