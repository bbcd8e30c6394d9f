"""Which rows say all that a prediction needs, as the measurements' SOURCES.md defines it."""

from __future__ import annotations

from benchmarks.rows.record import Row

ARCHITECTURE = ("layers", "hidden", "heads", "attn")
NEEDED = (*ARCHITECTURE, "gpu", "gpus", "precision", "tp", "pp", "cp", "dp", "mbs", "gbs", "seq", "recompute")
MEASURED = ("step_time_s", "tokens_s_gpu", "tokens_s_total")


def step(row: Row) -> bool:
    """A training row with a measured time and every input (ep too, where there are experts)."""
    needed = (*NEEDED, "ep") if row["experts"] else NEEDED
    return all(row[key] for key in needed) and any(row[key] for key in MEASURED)


def unsaid(row: Row) -> str:
    """The needed input that other columns do not imply, where it is blank; empty where it is given."""
    return "" if row["recompute"] else "recompute"


def memory(row: Row, peak_bytes: float, smallest_bytes: float) -> bool:
    """A whole model of some size whose data parallelism is known."""
    return "single MoE layer" not in row["measure"] and peak_bytes >= smallest_bytes and bool(row["dp"] or row["gpus"])
