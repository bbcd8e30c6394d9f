"""Whatever stands in the cells of a measurements folder, the accuracy command ends with its table."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks import accuracy, features
from benchmarks.rows import launched
from benchmarks.rows.record import Row
from tests.measured_rows import MOVED, TRAIN, write
from tests.served_rows import MODEL, SERVED, SIDES, folder

MOE = {**TRAIN, "experts": "64", "topk": "6", "moe_ffn": "2048", "ep": "8", "etp": "1", "attn": "mla", "head_dim": ""}
MEMORY = {
    **TRAIN, "measure": "max_memory_allocated", "peak_alloc_gib": "60.5", "peak_reserved_gib": "", "stage_or_rank": "",
    "fsdp_shard": "", "extra_args": "",
}  # fmt: skip
FILES: Mapping[str, Sequence[Row]] = {
    "dense_training.csv": [TRAIN],
    "moe_training.csv": [MOE],
    "memory.csv": [MEMORY],
    "inference.csv": [
        SERVED,
        {**SERVED, **SIDES, "mode": "disagg"},
        {**SERVED, "phase": "decode", "batch_per_gpu": "8"},
    ],
    "collectives.csv": [MOVED],
}
CELLS = (
    "",
    "x",
    "nan",
    "inf",
    "-1",
    "0",
    "1e30",
    "0.5",
    "3",
    "7",
    "1,024",
    "None",
    "|",
    "a\nb",
    "999999999999",
    "é",
    "8.0",
)


def judged(rows: Path) -> list[dict[str, str]]:
    out = rows / "out.csv"
    assert accuracy.main(["--rows", str(rows), "--csv", str(out)]) == 0
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_whole_rows_are_all_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = judged(folder(tmp_path, FILES))
    assert [row["skipped"] for row in found] == [""] * len(found)
    assert len(found) == 4 + 3 * 4
    assert "12 of 12 serving records, 100.0 %" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(25))
def test_any_cell_may_hold_anything(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = {
        name: [{**row, **{chance.choice(list(row)): chance.choice(CELLS) for _ in range(chance.randint(1, 4))}}
               for row in rows for _ in range(4)]
        for name, rows in FILES.items()
    }  # fmt: skip
    for row in judged(folder(tmp_path, files)):
        assert bool(row["skipped"]) != bool(row["predicted"])


@pytest.mark.parametrize("name", list(FILES))
def test_any_column_may_be_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(MODEL, tmp_path / "models" / "m.json")
    for key in FILES[name][0]:
        with (tmp_path / name).open("w", newline="") as file:
            out = csv.DictWriter(file, [other for other in FILES[name][0] if other != key], extrasaction="ignore")
            out.writeheader()
            out.writerows(FILES[name])
            file.write("one,cell\n" + "too,many," * 60 + "\n")
        judged(tmp_path)


@pytest.mark.parametrize(
    "content", [None, "{", "[]", "{}", '{"model_type": "mamba"}', '{"model_type": "llama", "hidden_size": 0}']
)
def test_a_model_that_cannot_be_read_is_skipped(tmp_path: Path, content: str | None) -> None:
    path = folder(tmp_path, {"inference.csv": [SERVED]}) / "models" / "m.json"
    path.unlink() if content is None else path.write_text(content)
    assert {row["skipped"] for row in judged(tmp_path)} == {"no model m.json"}


@pytest.mark.parametrize(
    ("backend", "version", "gpu", "requests", "steps"),
    [
        ("sglang", "0.5.9", "b200_sxm", 15, 10),
        ("sglang", "0.5.9", "b200_sxm", 16, 30),
        ("sglang", "", "b200_sxm", 16, 30),
        ("sglang", "nightly", "b200_sxm", 16, 1),
        ("sglang", "0.5.9", "h200_sxm", 16, 1),
        ("vllm", "0.19.0", "b200_sxm", 16, 1),
    ],
)
def test_engines_look_for_requests_as_seldom_as_they_are_launched_to(
    backend: str, version: str, gpu: str, requests: int, steps: int
) -> None:
    assert launched.interval({"backend": backend, "backend_version": version, "gpu": gpu}, requests) == steps


@pytest.mark.parametrize(("backend", "grouped"), [("sglang", 16), ("vllm", 8)])
def test_sglang_fills_more_prompts_at_a_time(tmp_path: Path, backend: str, grouped: int) -> None:
    row = {**SERVED, "backend": backend, "isl": "1024", "concurrency": "16"}
    (record,) = [r for r in accuracy.load(folder(tmp_path, {"inference.csv": [row]})) if r.family == "ttft"]
    assert float(features.served(record).grouped) == grouped


def test_new_software_borrows_constants_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**SERVED, "backend_version": "9.9"}, {**SERVED, "backend": "lmdeploy"}]
    found = judged(folder(tmp_path, {"inference.csv": rows, "dense_training.csv": [{**TRAIN, "framework": "new"}]}))
    assert not any(row["skipped"] for row in found)
    said = capsys.readouterr().out
    assert "tpot: vllm 9.9" not in said  # no serving constant hangs on a release
    assert "tpot: lmdeploy 0.11.0, by the constants of all serving frameworks together" in said
    assert "dense_training: new nemo-25.05, by the constants of all training frameworks together" in said


def test_a_csv_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = folder(tmp_path, {"dense_training.csv": [TRAIN]})
    assert accuracy.main(["--rows", str(rows), "--csv", str(tmp_path / "no" / "out.csv")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_model_of_a_new_family_is_read_by_its_numbers(tmp_path: Path) -> None:
    rows = folder(tmp_path, {"inference.csv": [SERVED]})
    before = judged(rows)
    path = rows / "models" / "new.json"
    path.write_text(MODEL.read_text().replace('"deepseek_v3"', '"deepseek_v99"'))
    write(rows, "inference.csv", {**SERVED, "model_config": "new"})
    assert [row["predicted"] for row in judged(rows)] == [row["predicted"] for row in before]


def test_a_model_of_other_layers_is_skipped(tmp_path: Path) -> None:
    rows = folder(tmp_path, {"inference.csv": [SERVED]})
    content = json.loads(MODEL.read_text()) | {"model_type": "next", "mamba_d_state": 128}
    (rows / "models" / "m.json").write_text(json.dumps(content))
    assert {row["skipped"] for row in judged(rows)} == {"Mamba layers or compressed attention"}
