"""Collective rows: one call of a library, timed, as nccl-tests counts bytes. Short ones are kept for fits, and not judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.rows.hardware import cluster, gpu_file
from benchmarks.rows.record import UNFIT, Record, Row, Skip, number, read, reason, whole
from compiler.costs.comm.links import Reach

OPS = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
}
LARGE = 2**20


def bus_factor(op: str, ranks: int) -> float:
    """busbw = factor * bytes / time (nccl-tests, PERFORMANCE.md)."""
    return (2 if op == "all_reduce" else 1) * (ranks - 1) / ranks


def records(folder: Path) -> Iterator[Record]:
    """Every collective: its seconds."""
    if (folder / "collectives.csv").exists():
        for row in read(folder / "collectives.csv"):
            yield _record(row)


def _record(row: Row) -> Record:
    base = Record("collectives", row["id"], row["source_id"], row["gpu"], "seconds", 0.0)
    try:
        op = OPS.get(row["op"])
        if op is None:
            raise Skip("dispatch and combine of one library")
        size = whole(row, "size_bytes", most=2**50)
        ranks = whole(row, "gpus")
        base = replace(base, measured=seconds(row, op, size, ranks))
        per_node = min(whole(row, "gpus_per_node", 8), ranks)
        hardware = cluster(row, ranks)
        domains = -(-ranks // max(hardware.nvlink.domain_gpus, per_node if hardware.nvlink.domain_gpus > 1 else 1))
        span = "nvlink" if domains == 1 else "leaf"
        reach = Reach("tp", ranks, span, domains)
        ask = {"op": op, "size": size, "reach": reach, "hardware": hardware, "algo": row["algo"]}
        return replace(base, gpu=gpu_file(row), ask=ask, skipped="below 1 MiB" if size < LARGE else "")
    except (Skip, *UNFIT) as why:
        return replace(base, skipped=reason(why))


def seconds(row: Row, op: str, size: int, ranks: int) -> float:
    """Raises Skip where neither a time nor a bandwidth is given."""
    if (time := number(row, "time_us")) is not None:
        return time * 1e-6
    if bus := number(row, "busbw_gb_s"):
        return bus_factor(op, ranks) * size / (bus * 1e9)
    raise Skip("no time and no bandwidth")
