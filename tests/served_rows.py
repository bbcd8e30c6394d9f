"""Rows of measured servers for tests, and what a plan of one of them is costed by."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import accuracy
from benchmarks.rows.record import Record, Row
from compiler.costs.calibration import Calibration
from compiler.speed import calibrated
from compiler.world import World
from tests.measured_rows import write

MODEL = Path(__file__).parent / "data" / "hf" / "deepseek_v3.json"
SERVED = {
    "id": "s", "source_id": "us", "model": "m", "model_config": "m", "gpu": "h200_sxm", "gpus": "8", "backend": "vllm",
    "backend_version": "0.11.0", "precision": "fp8", "mode": "agg", "phase": "end-to-end", "isl": "1024", "osl": "512",
    "concurrency": "64", "batch_per_gpu": "", "tp": "8", "pp": "1", "ep": "8", "attn_dp": "1", "moe_tp": "1",
    "kv_len": "", "tpot_ms": "20", "ttft_ms": "300", "output_tokens_s_gpu": "400", "tokens_s_node": "3200",
}  # fmt: skip
SIDES = {f"{side}_{key}": "8" if key == "tp" else "1" for side in ("prefill", "decode")
         for key in ("batch", "workers", "tp", "pp", "attn_dp", "moe_tp", "ep")}  # fmt: skip


def folder(tmp_path: Path, files: Mapping[str, Sequence[Row]]) -> Path:
    (tmp_path / "models").mkdir()
    shutil.copy(MODEL, tmp_path / "models" / "m.json")
    for name, rows in files.items():
        write(tmp_path, name, *rows)
    return tmp_path


def times(tmp_path: Path, **changes: str) -> dict[str, Record]:
    """The records of a row's TTFT and TPOT."""
    records = accuracy.load(folder(tmp_path, {"inference.csv": [{**SERVED, **changes}]}))
    return {record.family: record for record in records if record.family in ("ttft", "tpot")}


def planned(record: Record) -> tuple[World, Calibration]:
    """A record's own plan for vLLM, and the curves and constants that it is predicted by."""
    world = record.world
    assert world is not None
    config = world.config
    gpu = calibrated.served(config.hardware, record.software[0])
    engine = calibrated.engine(*record.software, config.hardware.name, config.workload.precision)
    served = replace(world, config=replace(config, framework=replace(config.framework, name="vllm")))
    return served, Calibration(gpu, engine=engine)
