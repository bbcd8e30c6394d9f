"""What an error says to write instead compiles: mistakes of every kind, under every framework, pasted back."""

from __future__ import annotations

import itertools
import re

import pytest

from compiler import pools
from compiler.checks import Check
from compiler.errors import Problem
from compiler.fixes import Budget
from compiler.fixes.search import Search
from compiler.specs.config import Config
from tests.configs import composed
from tests.mistakes import BASES, Row, rows
from tests.pasted import alternatives, pasted, refused

ROUNDS = 3
ON_FOUR = ("model=llama3_1_8b", "hardware.nodes=4", "parallel=tp8_dp4")
ROWS = rows()
SOON = [row for _, same in itertools.groupby(ROWS, key=lambda row: row[0]) for row in list(same)[:1]]
"""The first of each kind; the others are slow only because there are so many."""


def followed(row: Row) -> tuple[int, list[str]]:
    """How many sets of overrides the lines of a mistake offer, having seen each compile; and those that do not."""
    _, name, spoilt = row
    given = pasted(BASES[name], spoilt)
    lines = refused(given)
    assert lines, "no mistake at all"
    offered = list(dict.fromkeys(item for line in lines for item in alternatives(line)))
    bad = [f"{' '.join(item)}: {left[0]}" for item in offered if (left := refused(pasted(given, item)))]
    if not offered or bad:
        bad += _rounds(given, lines)
    return len(offered), bad


def _rounds(given: list[str], lines: list[str]) -> list[str]:
    """A user who pastes the first thing offered, again and again."""
    seen = [frozenset(given)]
    for _ in range(ROUNDS):
        offered = [item for line in lines for item in alternatives(line)]
        if not offered:
            return [f"nothing to paste: {lines[0]}"]
        given = pasted(given, offered[0])
        if frozenset(given) in seen:
            return [f"a circle: {lines[0]}"]
        seen.append(frozenset(given))
        lines = refused(given)
        if not lines:
            return []
    return [f"not in {ROUNDS} rounds: {lines[0]}"]


@pytest.mark.parametrize("row", SOON, ids=lambda row: f"{row[0]}-{row[1]}")
def test_what_is_offered_compiles_at_once(row: Row) -> None:
    offered, bad = followed(row)
    assert offered
    assert not bad


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if row not in SOON], ids=lambda row: "-".join((*row[:2], *row[2])))
def test_the_same_of_every_other_mistake(row: Row) -> None:
    offered, bad = followed(row)
    assert offered
    assert not bad


def test_the_mistakes_are_many_and_of_every_framework() -> None:
    assert len(ROWS) >= 60
    assert len({kind for kind, _, _ in ROWS}) >= 12
    for name in BASES:
        assert len([row for row in ROWS if row[1] == name]) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("name", BASES)
def test_what_is_spoilt_compiles_before(name: str) -> None:
    assert refused(BASES[name]) == []


def test_nothing_is_tried_of_an_error_of_writing() -> None:
    from compiler.errors import WriteError
    from compiler.fixes import tried

    error = WriteError([Problem("full", "write out=FOLDER")])
    assert tried(error, composed(), (), lambda _: composed()) is error


def test_the_first_suggestion_fills_the_cluster_by_dp_where_that_is_all_that_is_missing() -> None:
    (line,) = refused(["parallel=tp4_pp4"])
    assert re.search(r" ; write parallel=tp4_pp4_dp64 or ", line)


def test_replicas_fill_a_larger_cluster_first_with_the_batch_that_they_need() -> None:
    (line,) = refused(["hardware.nodes=1024"])
    first, *others = alternatives(line)
    assert first == ("parallel=ep16_tp4_pp4_dp32",)  # a server's batch need not divide
    assert not any("tp16" in item for other in others for item in other)
    (line,) = refused(["hardware.nodes=1024", "workload=train", "workload.global_batch_size=256"])
    assert alternatives(line)[0] == ("parallel=ep16_tp4_pp4_dp32", "workload.global_batch_size=512")


def test_no_degrees_are_offered_for_what_they_do_not_mend() -> None:
    (line,) = refused(["hardware=h100_80gb", "hardware.calibration=nope", *ON_FOUR])
    assert " ; write one of a100_80gb, " in line
    assert not alternatives(line)


def test_a_claim_that_is_none_is_mended_by_no_degrees() -> None:
    (line,) = refused(["expect.claims=[{metric: params.nonsense, value: 1}]"])
    assert "parallel" not in line.rpartition(" ; ")[2]


def test_servers_are_offered_many_small_instances() -> None:
    line, *_ = refused(["framework=vllm", "hardware=h100_80gb", "model=mixtral_8x7b"])
    for item in alternatives(line):
        assert any(override.startswith("framework.instances=") for override in item), item


def test_memory_is_found_on_more_nodes_and_not_in_tp_beyond_nvlink() -> None:
    (line,) = refused([*ON_FOUR[1:], "model=llama3_1_405b", "hardware=h100_80gb", "workload=train"])
    offered = alternatives(line)
    assert offered
    for item in offered:
        degrees = dict(override.split("=") for override in item)
        assert not re.search(r"tp(16|32|64|128)", degrees.get("parallel", "")), item
        assert "parallel.tp" not in degrees


def test_alternatives_with_fewer_warnings_come_first() -> None:
    search = Search(composed(), (), lambda _: composed(), Budget())
    search.warnings = {frozenset(["graph=true"]): 2, frozenset(["name=n"]): 1}
    assert search._best([("graph=true",), ("name=n",)], None, first=False) == [("name=n",), ("graph=true",)]


def test_a_bug_in_one_trial_loses_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pools.tried
    seen: list[str] = []

    def broken(config: Config, **how: bool) -> tuple[Check, ...]:
        seen.append(config.degrees.name)
        if len(seen) == 1:
            raise ZeroDivisionError
        return whole(config, **how)

    monkeypatch.setattr(pools, "tried", broken)
    (line,) = refused(["parallel=tp4_pp4"])
    assert alternatives(line)
    assert f"parallel={seen[0]}" not in line.rpartition(" ; ")[2].split()


@pytest.mark.parametrize("target", ["kubernetes_job", "jobset", "lws", "trainjob"])
def test_what_ties_pods_to_places_can_be_pasted(target: str) -> None:
    from compiler.api import compile_plan

    given = [f"scheduler={target}", "hardware=h100_80gb", "hardware.nodes=128"]
    (found,) = (item for item in compile_plan(given).checks if item.id == "order-unproven")
    *_, most = alternatives(f"x ; {found.fix.rpartition('; or ')[2]}")
    (after,) = (item for item in compile_plan([*given, *most]).checks if item.id == "order-unproven")
    assert (found.status, after.status) == ("warn", "pass"), after


def test_no_wider_checkpoint_is_offered() -> None:
    from compiler.invariants.memory import _weights

    config = composed("model=deepseek_v3", "hardware=h100_80gb", "workload.precision=bf16")
    assert config.model.stored
    assert list(_weights(config)) == []


def test_an_inference_server_is_offered_instances() -> None:
    line, *_ = refused([*BASES["vllm"], "parallel=ep16_etp1_tp4_adp4", "hardware.nodes=16"])
    assert " ; write framework.instances=8 or " in line


SERVED = ("framework=vllm", "model=qwen3_30b_a3b", "hardware=h100_80gb", "hardware.nodes=1", "parallel=tp8")


@pytest.mark.parametrize("scheduler", ["scheduler=[]", "scheduler=slurm"])
def test_a_key_that_an_argument_says_takes_the_argument_along(scheduler: str) -> None:
    given = [*SERVED, scheduler, "workload.global_batch_size=512", "framework.args=[/w,--max-num-batched-tokens,256]"]
    (line,) = refused(given)
    assert alternatives(line) == [("workload.prefill_chunk=512", "framework.args=[/w]")]
    assert not refused(pasted(given, alternatives(line)[0]))


def test_arguments_that_clash_are_refused_where_nothing_starts_them() -> None:
    given = [*SERVED, "scheduler=[]", "workload.prefill_chunk=512", "framework.args=[/w,--max-num-batched-tokens,256]"]
    (line,) = refused(given)
    assert "framework.args sets --max-num-batched-tokens, and so does the plan" in line


def test_of_a_users_command_only_what_the_plan_decides_is_left_out() -> None:
    given = ["scheduler=slurm", "launch.command=[torchrun,--nnodes,2,'--rdzv-id=7',train.py,--epochs,3]"]
    lines = refused(given)
    assert [item for line in lines for item in alternatives(line)] == [
        ("launch.command=[torchrun,train.py,--epochs,3]",)
    ]
