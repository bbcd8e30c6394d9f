"""Where the time of a projection goes, and what a training run comes to, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from compiler.report.blocks import Row, Table
from compiler.words import gigabytes, number, readable, seconds

STEP = (
    ("kernels_s", "kernels on the slowest stage"),
    ("exposed_s", "collectives that show"),
    ("waiting_s", "waiting for the host, or for sharded parameters"),
    ("bubble_s", "bubble: the other stages, filling and draining"),
    ("gradients_s", "gradients and parameters between data-parallel ranks"),
    ("optimizer_s", "optimizer"),
    ("fixed_s", "what every micro-batch and step takes anyway"),
)
"""Parts of a step."""

PHASE = {
    "products_s": "products",
    "experts_s": "experts",
    "attention_s": "attention",
    "elementwise_s": "memory-bound",
    "tp_s": "tp",
    "ep_s": "ep",
    "pp_s": "pp",
    "host_s": "host",
    "pipeline_s": "waiting for stages",
    "first_s": "fixed",
}
"""Parts of a prefill and of a decode step, in the order of the table. A single stage waits for no other one: there prompts
run one behind the other."""


def parts(projection: Mapping[str, Any], stages: int) -> Table:
    """Parts that add up to a step, or to TTFT and TPOT, as times and shares."""
    if "train" in projection:
        return Table(("part of a step", "time", "share"), tuple(_step(projection["train"])))
    rows = [("prefill", row["sequence_length"], row["ttft_s"], row["parts"]) for row in projection["serve"]["prefill"]]
    rows += [("decode", row["context_length"], row["tpot_s"], row["parts"]) for row in projection["serve"]["decode"]]
    shown = [key for key in PHASE if any(found.get(key) for *_, found in rows)]
    cells = tuple(
        (phase, str(length), *(_part(found.get(key), whole) for key in shown)) for phase, length, whole, found in rows
    )
    words = PHASE if stages > 1 else {**PHASE, "pipeline_s": "other prompts"}
    return Table(("phase", "tokens", *(words[key] for key in shown)), cells)


def _step(step: Mapping[str, Any]) -> Iterator[Row]:
    whole = step["step_time_s"]
    for key, words in STEP:
        yield words, seconds(step[key]), _share(step[key], whole)
    yield "together", seconds(whole), _share(whole, whole)


def _part(value: float | None, whole: float | None) -> str:
    return f"{seconds(value)} ({_share(value, whole)})" if value else "0"


def _share(value: float | None, whole: float | None) -> str:
    return f"{100 * value / whole:.1f} %" if whole and value is not None else "unknown"


def run(projection: Mapping[str, Any]) -> Table:
    """Days and GPU-hours; no rows for serving."""
    step, rows = projection.get("train"), []
    if step:
        rows = [("tokens a day", readable(step["tokens_per_day"]))]
        if step["goodput"] is not None:
            rows += [
                ("failures a day", number(step["failures_per_day"])),
                ("work between checkpoints", seconds(step["checkpoint_interval_s"])),
                ("goodput", f"{100 * step['goodput']:.1f} %"),
            ]
        if step["days"] is not None:
            rows += [("days", number(step["days"])), ("GPU-hours", readable(step["gpu_hours"]))]
    return Table(("run", "value"), tuple(rows))


def together(served: Iterable[Mapping[str, Any]]) -> Table:
    """What clients see who each ask again when they are answered."""
    head = ("prompt", "answer", "clients", "running", "TTFT", "four of five", "TPOT", "four of five")
    rows = tuple(
        (
            *(str(row[key]) for key in ("sequence_length", "output_length", "batch", "running")),
            *timed(row, "ttft"),
            *timed(row, "tpot"),
            number(row["requests_per_s"]),
            number(row["output_tokens_per_s_per_gpu"]),
        )
        for row in served
    )
    return Table((*head, "requests/s", "output tokens/s/GPU"), rows)


def timed(row: Mapping[str, Any], name: str) -> tuple[str, str]:
    """A time, and where four of five measurements would lie."""
    low, high = row[f"{name}_low_s"], row[f"{name}_high_s"]
    return seconds(row[f"{name}_s"]), "unknown" if low is None else f"{seconds(low)} to {seconds(high)}"


def made(communicators: Mapping[str, Any]) -> str:
    """What a rank's communicators are, and what they take."""
    kinds = ", ".join(f"{kind} ({size} ranks)" for kind, size in communicators["sizes"].items())
    count, held = communicators["count"], gigabytes(communicators["buffers_bytes"])
    return f"Each rank makes {count} communicators: {kinds}. They take about {held} and {seconds(communicators['startup_s'])} at start."


def forms(dispatch: Sequence[Mapping[str, Any]]) -> Table:
    """Ways to send tokens to their experts; no rows where they are not spread."""
    rows = tuple(
        (
            form["phase"],
            form["form"].replace("_", "-"),
            readable(form["domain_bytes"]),
            readable(form["network_bytes"]),
            seconds(form["seconds"]),
        )
        for form in dispatch
    )
    return Table(("phase", "dispatch", "bytes within a domain", "bytes over the network", "time of one"), rows)
