"""Where the time of a projection goes, and what a training run comes to, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from compiler.report.blocks import Row, Table
from compiler.report.figures import Bar, Bars
from compiler.report.told import Told, joined, numbered, told
from compiler.words import gigabytes, number, readable, seconds, size

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

AROUND = "A line with two ends is where four of five measurements would lie."
"""What a whisker is."""


def parts(projection: Mapping[str, Any], stages: int) -> Table:
    """Parts that add up to a step, or to TTFT and TPOT, as times and shares."""
    if "train" in projection:
        return Table(("part of a step", "time", "share"), tuple(_step(projection["train"])))
    rows = list(_phases(projection["serve"]))
    shown = [key for key in PHASE if any(row["parts"].get(key) for _, row, _, _ in rows)]
    cells = tuple(
        (
            path.split(".")[2],
            str(row[length]),
            *(_part(row["parts"].get(key), row[time], f"{path}.parts.{key}") for key in shown),
        )
        for path, row, length, time in rows
    )
    words = _words(stages)
    return Table(("phase", "tokens", *(words[key] for key in shown)), cells)


def _words(stages: int) -> Mapping[str, str]:
    return PHASE if stages > 1 else {**PHASE, "pipeline_s": "other prompts"}


def _phases(serve: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str, str]]:
    """Path and row of each length of prefill and decode, and the keys of its tokens and of its time."""
    for phase, length, time in (("prefill", "sequence_length", "ttft_s"), ("decode", "context_length", "tpot_s")):
        for index, row in enumerate(serve[phase]):
            yield f"projection.serve.{phase}.{index}", row, length, time


def figures(contents: Mapping[str, Any], stages: int) -> Iterator[Bars]:
    """The same parts, drawn: of a step; or of prefill and of decode, which have scales of their own."""
    if "train" in contents["projection"]:
        path = "projection.train"
        parts = tuple(numbered(contents, f"{path}.{key}", words) for key, words in STEP)
        bar = Bar("step", parts, *(numbered(contents, f"{path}.step_time_{end}_s", end) for end in ("low", "high")))
        about = f"Parts that add up to a training step. {AROUND}"
        yield Bars(name="step", title="Where a step goes", about=about, unit="seconds", bars=(bar,))
        return
    words = _words(stages)
    for phase, time in (("prefill", "ttft"), ("decode", "tpot")):
        bars = tuple(
            Bar(
                f"{row[length]} tokens",
                tuple(numbered(contents, f"{path}.parts.{key}", words[key]) for key in PHASE if row["parts"].get(key)),
                *(numbered(contents, f"{path}.{time}_{end}_s", end) for end in ("low", "high")),
            )
            for path, row, length, _ in _phases(contents["projection"]["serve"])
            if path.split(".")[2] == phase
        )
        if bars:
            about = f"Parts that add up to {time.upper()}, by length. {AROUND}"
            yield Bars(name=phase, title=f"Where {phase} goes", about=about, unit="seconds", bars=bars)


def _step(step: Mapping[str, Any]) -> Iterator[Row]:
    whole = step["step_time_s"]
    for key, words in STEP:
        yield words, Told(seconds(step[key]), ((f"projection.train.{key}", step[key]),)), _share(step[key], whole)
    yield "together", Told(seconds(whole), (("projection.train.step_time_s", whole),)), _share(whole, whole)


def _part(value: float | None, whole: float | None, path: str) -> str:
    return Told(f"{seconds(value)} ({_share(value, whole)})", ((path, value),)) if value else "0"


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


def together(served: Iterable[Mapping[str, Any]], path: str) -> Table:
    """What clients see who each ask again when they are answered; the rows are at `path`."""
    head = ("prompt", "answer", "clients", "running", "TTFT", "four of five", "TPOT", "four of five")
    rows = tuple(
        (
            *(str(row[key]) for key in ("sequence_length", "output_length", "batch", "running")),
            *timed(row, "ttft", f"{path}.{index}"),
            *timed(row, "tpot", f"{path}.{index}"),
            told(row, "requests_per_s", number, f"{path}.{index}"),
            told(row, "output_tokens_per_s_per_gpu", number, f"{path}.{index}"),
        )
        for index, row in enumerate(served)
    )
    return Table((*head, "requests/s", "output tokens/s/GPU"), rows)


def timed(row: Mapping[str, Any], name: str, path: str) -> tuple[str, str]:
    """A time of the row at `path`, and where four of five measurements would lie."""
    low, high = (told(row, f"{name}_{end}_s", seconds, path) for end in ("low", "high"))
    return told(row, f"{name}_s", seconds, path), "unknown" if low == "unknown" else joined(low, " to ", high)


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
            size(form["domain_bytes"]),
            size(form["network_bytes"]),
            seconds(form["seconds"]),
        )
        for form in dispatch
    )
    return Table(("phase", "dispatch", "bytes within a domain", "bytes over the network", "time of one"), rows)
