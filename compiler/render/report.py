"""`report.md`: the plan for people. Every value is decided here; the template only lays it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.checks import Status
from compiler.cluster.spans import SPANS
from compiler.plan import Plan
from compiler.render import breakdown
from compiler.render.engine import render
from compiler.render.table import Row, Table
from compiler.schedulers import registry
from compiler.words import gigabytes, number, readable, seconds


def report(plan: Plan, contents: Mapping[str, Any]) -> str:
    """Markdown; `contents` is the plan's dictionary."""
    return render(
        "report.md.j2",
        plan=plan,
        hardware=plan.config.hardware,
        workload=plan.config.workload,
        degrees=contents["degrees"],
        notable=[check for check in plan.checks if check.status is not Status.PASS],
        passed=sum(check.status is Status.PASS for check in plan.checks),
        groups=escaped(_groups(plan)),
        stages=escaped(_stages(plan, contents)),
        params=escaped(_params(contents["params"])),
        memory=escaped(_memory(contents["memory"])),
        communication=escaped(_communication(contents["communication"])),
        projection=escaped(projection(contents["projection"])),
        parts=escaped(breakdown.parts(contents["projection"], contents["degrees"]["pp"])),
        together=escaped(breakdown.together(contents["projection"].get("serve", {}).get("aggregated", ()))),
        run=escaped(breakdown.run(contents["projection"])),
        forms=escaped(breakdown.forms(contents["dispatch"])),
        made=breakdown.made(contents["communicators"]),
        claims=escaped(_claims(plan)),
        source=plan.config.expect.source,
        verdicts=[verdict for verdict in plan.expectations if verdict.verdict != "not_applicable"],
        assumed=contents["assumed"],
        asked=registry.asked(plan),
        calibration=_measured_on(plan.config.hardware.calibration),
    )


def _measured_on(calibration: str | None) -> str | None:
    """The name of a plan's curves."""
    if calibration is None or "\n" not in calibration:
        return calibration
    from compiler.speed import calibrated

    found = calibrated.gpu(calibration)
    return found.name if found and found.name != calibration else "a file of the site"


def escaped(table: Table) -> Table:
    """Cells that keep their row whole, whatever is in them."""
    return Table(table.head, tuple(tuple(_cell(cell) for cell in row) for row in table.rows))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _groups(plan: Plan) -> Table:
    def rows() -> Iterator[Row]:
        for kind, table in plan.groups.items():
            spans = plan.world.spans(kind)
            reach = ", ".join(f"{int((spans == i).sum())} {name}" for i, name in enumerate(SPANS) if (spans == i).any())
            first = table[0].tolist()
            shown = " ".join(map(str, first if len(first) <= 8 else [*first[:4], "...", first[-1]]))
            yield kind, str(len(table)), str(table.shape[1]), reach, shown

    return Table(("kind", "groups", "ranks each", "span", "group 0"), tuple(rows()))


def _stages(plan: Plan, contents: Mapping[str, Any]) -> Table:
    labels = plan.world.stages.labels
    memory = contents["memory"]["stages"]
    rows = tuple((str(pp), labels[pp], gigabytes(memory[pp]["total_bytes"])) for pp in range(len(labels)))
    return Table(("stage", "layers", "memory of its fullest rank"), rows)


def _params(params: Mapping[str, Any]) -> Table:
    names = (
        "total",
        "active",
        "dense",
        "moe",
        "declared_total",
        "derived_dense",
        "derived_moe",
        "per_expert",
        "per_rank_max",
    )
    return Table(
        ("parameters", "count"), tuple((name, readable(params[name])) for name in names if params.get(name) is not None)
    )


def _memory(memory: Mapping[str, Any]) -> Table:
    parts = ("weights", "gradients", "optimizer", "activations", "kv_cache", "other", "total", "capacity")
    rows = tuple((name.replace("_", " "), gigabytes(memory[f"{name}_bytes"])) for name in parts)
    return Table((f"rank {memory['worst_rank']}", "bytes"), rows)


def _communication(flows: list[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            flow.get("phase", ""),
            flow["kind"],
            f"{flow['op']} ({flow['role']})" if flow.get("role") else flow["op"],
            readable(flow["count"]),
            readable(flow["bytes_per_rank"]),
            flow["span"],
            seconds(flow["seconds"]),
            "yes" if flow["overlapped"] else "no",
        )
        for flow in flows
    )
    return Table(("phase", "group", "collective", "calls", "bytes a rank", "span", "time", "overlapped"), rows)


def projection(projection: Mapping[str, Any]) -> Table:
    return _training(projection["train"]) if "train" in projection else _serving(projection["serve"])


def _training(step: Mapping[str, Any]) -> Table:
    around = f"{seconds(step['step_time_low_s'])} to {seconds(step['step_time_high_s'])}"
    rows = (
        ("step", seconds(step["step_time_s"])),
        ("four of five steps", around if step["step_time_low_s"] is not None else "unknown"),
        ("tokens/s", number(step["tokens_per_s"])),
        ("tokens/s/GPU", number(step["tokens_per_s_per_gpu"])),
        ("model TFLOP/s/GPU", number(step["model_tflops_per_gpu"])),
        ("MFU", number(step["mfu"])),
        ("bubble of equal stages", number(step["bubble_fraction"])),
    )
    return Table(("training", "value"), rows)


def _serving(serve: Mapping[str, Any]) -> Table:
    prefill = [
        ("prefill", str(r["sequence_length"]), "", *breakdown.timed(r, "ttft"), number(r["tokens_per_s_per_gpu"]), "")
        for r in serve["prefill"]
    ]
    decode = [
        (
            "decode",
            str(r["context_length"]),
            str(r["batch"]),
            *breakdown.timed(r, "tpot"),
            number(r["tokens_per_s_per_gpu"]),
            readable(r["largest_batch"]),
        )
        for r in serve["decode"]
    ]
    head = ("phase", "tokens", "batch", "TTFT or TPOT", "four of five", "tokens/s/GPU", "largest batch")
    return Table(head, tuple(prefill + decode))


def _claims(plan: Plan) -> Table:
    words = {"holds": "holds", "fails": "**fails**", "not_applicable": "not applicable"}
    rows = tuple(
        (
            v.id,
            v.statement,
            f"{v.comparison} {readable(v.claimed)}".removeprefix("== "),
            readable(v.computed),
            words[v.verdict],
            v.reason,
        )
        for v in plan.expectations
    )
    return Table(("claim", "statement", "claimed", "computed", "verdict", "why"), rows)
