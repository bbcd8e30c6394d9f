"""Measured calls of engines' kernels, `kernels/<operation>.csv.gz`, by what a calibration file calls their curves."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows.hardware import gpu_file, nominal
from benchmarks.rows.kernel_operations import OPERATIONS
from benchmarks.rows.operation import ENGINES, Axes, Operation
from benchmarks.rows.record import Row, Skip, read
from compiler import gpus
from compiler.costs.arrays import Array
from compiler.speed.fit.grids import Calls


def measured(folder: Path, sections: Sequence[str]) -> Iterator[tuple[tuple[str, str, str, str], Calls, Axes]]:
    """(GPU file, engine, section, name), calls and axes of every curve."""
    for section in sections:
        for operation in OPERATIONS[section]:
            for (gpu, engine, name), found in _sorted(folder, operation).items():
                rows = operation.read(found)
                table = {key: np.array([float(row[key] or 0) for row in rows]) for key in operation.columns}
                table["matrices"] = np.array([2.0 if "nongated" in row["kernel_source"] else 3.0 for row in rows])
                table = {key: values[table["latency"] > 0] for key, values in table.items()}
                yield (gpu, engine, section, name), operation.calls(table, name, nominal(gpu)), operation.axes


def _sorted(folder: Path, operation: Operation) -> dict[tuple[str, str, str], list[Row]]:
    found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in _rows(folder, operation.file):
        try:
            gpu = gpu_file(row)
        except Skip:
            continue
        if name := operation.called(row):
            found[gpu, ENGINES[row["framework"].lower()], name].append(row)
    return found


def _rows(folder: Path, file: str) -> Iterator[Row]:
    """Of a file; of experts those of TensorRT-LLM's older kernels too, which its newer release was not measured at on Hopper. On
    Blackwell that release has others, which vLLM and SGLang were measured with.
    """
    with gzip.open(folder / "kernels" / f"{file}.csv.gz", "rt", encoding="utf-8") as text:
        yield from csv.DictReader(text)
    if file == "moe":
        yield from _older(read(folder / "op_moe.csv"))


RENAMED = {"hidden": "hidden_size", "inter": "inter_size", "experts": "num_experts", "moe_tp": "moe_tp_size"}
RENAMED |= {"moe_ep": "moe_ep_size", "latency_ms": "latency", "dtype": "moe_dtype"}


def _older(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        if gpus.generation(gpu_file(row)) == "hopper":
            named_so = {RENAMED.get(key, key): value for key, value in row.items()}
            yield {**named_so, "framework": "TRTLLM", "kernel_source": row["kernel"]}


def apart(calls: Calls, share: float = 0.1) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which calls a fit sees, and which it is judged by: a tenth of the shapes, by their sizes."""
    sizes: Sequence[Array] = calls.sizes
    mixed = np.zeros(len(calls.seconds))
    for number, size in enumerate(sizes):
        mixed = mixed + np.sin(12.9898 * (number + 1) * np.log2(np.maximum(size, 1e-9) + 1.0))
    out = (mixed * 43758.5453) % 1.0 < share
    return ~out, out
