"""The picture of a search's front: plans with their intervals, limits, and runs that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler import CompilerError, search
from compiler.config.load import load_config
from compiler.report import told
from compiler.searches.report import answers
from tests.pages import Page, numbers

SERVE = ["framework=vllm", "model=qwen3_32b", "hardware=h200", "hardware.nodes=1", "workload.sequence_lengths=[1024]"]
SERVE += ["workload.output_length=256", "search.vary={workload.global_batch_size:[1,16,128]}", "~expect"]
RUNS = "degrees,tpot_s,tokens_per_s_per_gpu,note\ntp2 measured,0.01,700,mine\nno rate,0.02,,\nfar away,9,5,\n"
"""Of which one can be seen beside the front."""


def test_its_numbers_are_those_of_its_files(tmp_path: Path) -> None:
    _, place = search([*SERVE, "search.tpot_s=0.05", f"search.measured='{RUNS}'"]).write(tmp_path)
    read = Page((place / "report.html").read_text(encoding="utf-8"))
    summary = json.loads((place / "summary.json").read_text())
    said = [(path.removeprefix("summary.json#"), float(value)) for path, value in numbers(read)]
    assert {path.rpartition(".")[2] for path, _ in said} >= {"low", "high", "tpot_s", "ttft_s", "memory_bytes"}
    assert [path for path, value in said if told.at(summary, path) != value] == []
    points = [element.text for element in read.of("title") if ": TPOT " in element.text]
    assert [text for text in points if text.startswith("measured: ")] == [
        "measured: tp2 measured: TPOT 10 ms, tokens/s/GPU 700"
    ]
    assert len(points) == len(summary["front"]) + 1
    whiskers = [element for element in read.of("path") if element.attributes["class"] == "whisker"]
    assert len(whiskers) == len(summary["front"])
    assert "search.tpot_s 50 ms" in [element.text for element in read.of("text")]
    assert [element.text for element in read.of("dt")][-2:] == ["of", "ties"]
    assert "best" not in [element.text.partition(":")[0] for element in read.of("li")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no.csv", "search.measured=no.csv cannot be read"),
        ("degrees,tpot_s\ntp2,1\n", "search.measured has 1 run with 1 figure ; list runs with two of step_time_s"),
        ("tpot_s,ttft_s\n1,2\n", "search.measured has no column degrees"),
        ("degrees,tpot_s,ttft_s\ntp2,1,x\n", "search.measured line 2: ttft_s=x is no number above 0 ; mend that line"),
        ("degrees,tpot_s,ttft_s\ntp2,-1,2\n", "search.measured line 2: tpot_s=-1 is no number above 0"),
    ],
)
def test_measured_runs_are_read_line_by_line(text: str, said: str) -> None:
    with pytest.raises(CompilerError) as raised:
        load_config([*SERVE, "parallel=auto", f"search.measured='{text}'"])
    assert str(raised.value.problems[0]).startswith(said)


def test_what_nobody_waits_for_is_said_where_nothing_limits_it() -> None:
    many = [item for item in SERVE if not item.startswith("search.vary")] + [
        "search.vary={workload.global_batch_size:[2048]}"
    ]
    said = {answer.question: answer.text for answer in answers(search(many).contents)}
    assert said["no limits"].endswith("for a first token: search.ttft_s=2 leaves such plans out")
    limited = {answer.question for answer in answers(search([*many, "search.request_s=1e6"]).contents)}
    assert "no limits" not in limited
