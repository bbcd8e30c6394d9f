"""What a person sees first of a plan, and nothing that says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.api import compile_plan
from compiler.console import summary
from compiler.report import sections
from compiler.report.markdown import markdown

BARE = ["scheduler=[]"]


def shown(capsys: pytest.CaptureFixture[str], *overrides: str) -> dict[str, str]:
    """Rows by name, in order."""
    summary(compile_plan([*BARE, *overrides]), Path("out/x"))
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("warning: ")]
    return {line.split("  ")[0]: line.partition("  ")[2].strip() for line in lines}


def test_what_is_asked_first_stands_first(capsys: pytest.CaptureFixture[str]) -> None:
    names = list(shown(capsys))
    assert names[:5] == ["plan", "folder", "ranks", "degrees", "memory"]
    assert names[5].startswith("prefill")
    assert names[-4:] == ["checks", "claims", "parameters", "groups"]


def test_degrees_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["hardware.nodes=3", "parallel=tp4_etp1_adp6_ep8", "model=qwen3_30b_a3b", "workload.global_batch_size=12"]
    degrees = shown(capsys, "~expect", *given)["degrees"]
    assert degrees == "tp=4 cp=1 pp=1 vpp=1 ep=8 etp=1 adp=6 edp=3"


def test_claims_about_other_models_are_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "claims" not in shown(capsys, "model.name=mine")
    assert "not applicable" not in shown(capsys)["claims"]
    plan = compile_plan([*BARE, "model.name=mine"])
    assert "## Claims" not in markdown(plan.name, sections.of(plan, plan.to_dict()))


def test_groups_of_one_rank_and_a_frameworks_own_are_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["framework=megatron", "model=llama3_1_8b", "parallel=tp4_dp2", "hardware.nodes=1", "workload=train"]
    groups = shown(capsys, *given, "workload.global_batch_size=8", "hardware=h100_80gb")["groups"]
    assert groups == "tp:2x4 dp:4x2 dp_cp:4x2 tp_pp:2x4 tp_cp:2x4 and 13 kinds of megatron"
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
