"""What a person sees first of a plan, and nothing that says nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from compiler.api import compile_plan
from compiler.console import summary
from compiler.report import harm, sections
from compiler.report.markdown import markdown
from compiler.waiting import waiting
from tests.command import ROOT

BARE = ["scheduler=[]"]


def shown(capsys: pytest.CaptureFixture[str], *overrides: str) -> dict[str, str]:
    """Rows by name, in order."""
    summary(compile_plan([*BARE, *overrides]), Path("out/x"))
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(("warning: ", "and "))]
    return {line.split("  ")[0]: line.partition("  ")[2].strip() for line in lines}


def test_what_is_asked_first_stands_first(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(capsys)
    names = list(rows)
    assert names[:9] == ["fits", "prefill", "decode", "look at", "claims", "plan", "folder", "ranks", "degrees"]
    assert names[-2:] == ["parameters", "groups"]
    assert rows["fits"] == "yes: 5.994 GB of 64 GB on the fullest rank (9.4%)"
    assert rows["prefill"].startswith("TTFT 146 ms at 10,240 tokens (136 ms to 541 ms), ")
    assert rows["claims"] == "18 of 32 fail"


def test_degrees_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["hardware.nodes=3", "parallel=tp4_etp1_adp6_ep8", "model=qwen3_30b_a3b", "workload.global_batch_size=12"]
    degrees = shown(capsys, "~expect", *given)["degrees"]
    assert degrees == "tp=4 cp=1 pp=1 vpp=1 ep=8 etp=1 adp=6 edp=3"


def test_claims_about_other_models_are_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "claims" not in shown(capsys, "model.name=mine")
    plan = compile_plan([*BARE, "model.name=mine"])
    assert "## Claims" not in markdown(plan.name, sections.of(plan, plan.to_dict()))


def test_groups_of_one_rank_and_a_frameworks_own_are_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["framework=megatron", "model=llama3_1_8b", "parallel=tp4_dp2", "hardware.nodes=1", "workload=train"]
    groups = shown(capsys, *given, "workload.global_batch_size=8", "hardware=h100_80gb")["groups"]
    assert groups == "tp dp dp_cp tp_pp tp_cp over nvlink, and 13 kinds of megatron"
    one = ["model=llama3_1_8b", "parallel=tp1", "hardware.nodes=1", "hardware.node.gpus=1", "~expect"]
    assert shown(capsys, *one)["groups"] == "none of several ranks"


def test_a_single_stage_waits_for_no_other() -> None:
    for degrees, words in (("parallel=tp8_dp8", "other prompts"), ("parallel=tp8_pp4_dp2", "waiting for stages")):
        plan = compile_plan([*BARE, "~expect", "model=llama3_1_8b", "hardware.nodes=8", degrees])
        text = markdown(plan.name, sections.of(plan, plan.to_dict()))
        assert words in text
        assert ("waiting for stages" in text) == ("pp4" in degrees)


def test_clients_that_wait_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=1", "parallel=tp8", "framework=vllm"]
    row = shown(capsys, *given, "workload.global_batch_size=4000", "workload.sequence_lengths=[8192]")["both 8192"]
    assert " of 4000 clients at a time" in row


def test_warnings_are_told_the_most_harmful_first(capsys: pytest.CaptureFixture[str]) -> None:
    summary(compile_plan([]), Path("out/x"))
    lines = capsys.readouterr().out.splitlines()
    told = [line.split(": ")[1] for line in lines if line.startswith("warning: ")]
    first = ["image", "rdma", "gang", "order-unproven", "micro-batches", "measured"]
    assert told == [*first, "declared-params", "declared-dense-params", "declared-moe-params"]


def test_every_harm_is_a_rules() -> None:
    """No id in the order of harm is one that nothing warns of."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "compiler").rglob("*.py"))
    for id_ in (*harm.ORDER, *harm.UNSURE):
        assert sources.count(f'"{id_}"') > 1, id_


@pytest.mark.parametrize(("memory", "word"), [("64e9", "yes: "), ("6.1e9", "probably: ")])
def test_what_may_not_fit_is_said(capsys: pytest.CaptureFixture[str], memory: str, word: str) -> None:
    assert shown(capsys, f"hardware.gpu.memory_bytes={memory}")["fits"].startswith(word)


def test_what_takes_long_is_told_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with waiting("compiling"):
        time.sleep(1.1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with waiting("compiling"):
        pass
    assert capsys.readouterr().err == ""
    with waiting("searching") as tell:
        time.sleep(1.3)
        tell(0.5)
        time.sleep(1)
    bar = f"[{'#' * 15}{'.' * 15}] 50%"
    assert capsys.readouterr().err == f"\rsearching 1 s\rsearching {bar} 2 s\r\033[K"


def test_moods_are_colors_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    summary(compile_plan(BARE), Path("out/x"))
    assert capsys.readouterr().out.startswith("\033[32mfits ")
    monkeypatch.setenv("NO_COLOR", "1")
    summary(compile_plan(BARE), Path("out/x"))
    assert "\033" not in capsys.readouterr().out
