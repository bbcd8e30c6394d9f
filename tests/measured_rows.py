"""Rows of measurements for tests, and a folder that holds them."""

from __future__ import annotations

import csv
from pathlib import Path

from benchmarks.rows import training
from benchmarks.rows.record import Record, Row

SHARED = Path(__file__).parents[1].parent / "shared" / "measurements"
TRAIN = {
    "id": "a", "source_id": "us", "framework": "megatron", "release": "nemo-25.05", "model": "m", "layers": "80",
    "hidden": "8192", "ffn": "28672", "act": "swiglu", "heads": "64", "kv_heads": "8", "head_dim": "128", "attn": "gqa",
    "vocab": "128256", "seq": "8192", "experts": "", "gpu": "H100 SXM 80GB", "gpus": "64", "precision": "BF16", "tp": "4",
    "pp": "4", "vpp": "5", "cp": "2", "dp": "2", "mbs": "1", "gbs": "128", "seq_parallel": "", "recompute": "none",
    "dist_optimizer": "", "notes": "", "step_time_s": "14.0",
}  # fmt: skip
MOVED = {
    "id": "c", "source_id": "us", "gpu": "H100 SXM 80GB", "gpus": "8", "gpus_per_node": "8", "op": "all_reduce",
    "algo": "", "size_bytes": "1073741824", "time_us": "3900", "busbw_gb_s": "",
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
