"""What a sweep is asked for: its spelling, its names and those of its jobs, and which of its plans is the best."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

from compiler.api import compile_plan
from compiler.console import Progress
from compiler.naming import default_name, job_name
from compiler.ranking import best, figures
from compiler.sweep import Task
from compiler.words import figures as figures_cut
from tests.command import STRATEGY, Ran, program, tree
from tests.configs import changed, composed
from tests.test_sweep import LEAN, summary

REFUSED = [
    ("parallel=ep16_tp4_pp4_dp4,ep8_tq8", "'tq8' is not a degree"),
    ("model=moe_30b,nope", "model=nope is not known"),
    ("hardware.nodes=128,many", "'many' of type 'str'"),
    ("+hardware.typo=1,2", "hardware.typo is not a setting"),
    ("out=a,b", "out has several values"),
    ("sweep=../../x", "cannot name a sweep's folder"),
    ("out=???", "out has no value ; write out=..., or"),
    ("name=interval(1,2)", "has no values to try one by one"),
]


@pytest.mark.parametrize(("override", "said"), REFUSED)
def test_a_bad_spelling_is_refused_before_any_job(tmp_path: Path, override: str, said: str) -> None:
    ran: Ran = program(*LEAN, override, cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert all(line.startswith("error: ") and " ; " in line for line in ran.errors)
    assert not tree(tmp_path)


class TestNames:
    def test_of_a_sweep_come_from_its_overrides(self) -> None:
        name = default_name(["parallel=tp4,tp8", "out=a"])
        assert name == default_name(["parallel=tp4,tp8", "out=elsewhere"])
        assert name.startswith("parallel-tp4-tp8-")
        assert name != default_name(["parallel=tp4,tp16"])
        assert len(default_name(["a=" + "b" * 300])) <= 100
        assert default_name([]).startswith("default-")

    @pytest.mark.parametrize(
        ("swept", "name"),
        [
            (["parallel.cp=1"], "mine"),
            (["hardware=h100_80gb"], "mine_hardware-h100_80gb"),
            (["hardware.gpu.memory_bytes=8e10", "parallel=tp4"], "mine_memory_bytes-8e10"),
            (["++launch.environment.A=x"], "mine_A-x"),
        ],
    )
    def test_of_a_job(self, swept: list[str], name: str) -> None:
        config = changed(composed("~expect"), {"model.name": "mine", "parallel.tp": 1, "parallel.pp": 1})
        config = changed(config, {"parallel.ep": 1, "parallel.dp": 1})
        assert job_name(config, swept) == name.replace("mine", "mine_dp1")

    def test_of_two_plans_that_call_themselves_the_same_differ(self) -> None:
        task = Task(("model", "parallel"), "default", Progress(3))
        one = composed("~expect")
        two = changed(one, {"model.vocab_size": 64000})
        assert task.folder_name(one, ["model=a"]) == STRATEGY
        assert task.folder_name(one, ["model=a"]) == STRATEGY
        assert re.fullmatch(f"{STRATEGY}-[0-9a-f]{{8}}", task.folder_name(two, ["model=b"]))

    def test_of_jobs_never_fall_together(self) -> None:
        config = changed(composed("~expect"), {"name": "n" * 90})
        values = ["a/b", "a-b", "a_b", "a b", "[a,b]", "a.b", "-a-b"]
        names = {job_name(config, [f"launch.environment.A={value}"]) for value in values}
        assert len(names) == len(values)
        assert max(map(len, names)) <= 100


def test_values_need_no_hash_where_their_words_differ(tmp_path: Path) -> None:
    lengths = "workload.sequence_lengths=[512,2048],[4096]"
    assert program(*LEAN, lengths, "sweep=mine", cwd=tmp_path).code == 0
    jobs = [row["job"] for row in summary(tmp_path / "out" / "sweeps" / "mine")]
    assert jobs == [f"{STRATEGY}_sequence_lengths-512-2048", f"{STRATEGY}_sequence_lengths-4096"]


class TestBest:
    STEP: ClassVar[dict[str, Any]] = {"step_time_s": 2.0, "world_size": 8, "low": 0.9, "high": 1.1}

    def rows(self, **rates: float) -> list[dict[str, Any]]:
        return [{**self.STEP, "job": name, "tokens_per_s_per_gpu": rate} for name, rate in rates.items()]

    def test_is_told_with_those_that_may_be_as_good(self) -> None:
        rows = self.rows(a=80.0, b=100.0, c=85.0, d=50.0)
        assert list(best(rows)) == ["best by throughput: b, 100 tokens/s/GPU; within its interval: c"]
        many = self.rows(**{f"p{i}": 100.0 - i for i in range(6)})
        assert next(iter(best(many))).endswith("within its interval: p1, p2, p3 and 2 more")

    def test_a_shorter_step_of_another_plan_is_told_too(self) -> None:
        rows = self.rows(a=100.0, b=50.0)
        rows[1] |= {"step_time_s": 1.5, "world_size": 32}
        assert list(best(rows))[1] == "shortest step: b, 1.5 s on 32 GPUs"

    def test_serving_and_training_are_ranked_apart(self) -> None:
        served = [{"job": name, "tokens_per_s_per_gpu": rate} for name, rate in (("x", 900.0), ("y", 800.0))]
        steps = self.rows(a=100.0, b=50.0)
        assert list(best([*served, *steps])) == [
            "best by throughput: a, 100 tokens/s/GPU",
            "best by throughput: x, 900 output tokens/s/GPU",
        ]
        assert list(best([served[0], *steps])) == ["best by throughput: a, 100 tokens/s/GPU"]
        assert list(best([served[0], steps[0]])) == []

    def test_one_plan_is_no_choice(self) -> None:
        assert list(best(self.rows(a=1.0))) == list(best([{"job": "x", "status": "3"}] * 2)) == []


def test_pools_are_ranked_by_what_both_do() -> None:
    base = ["framework=vllm", "model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=2", "scheduler=[]", "~expect"]
    base += ["workload.pools={prefill: {parallel: tp8}, decode: {parallel: tp8}}"]
    plan = compile_plan([*base, "workload.sequence_lengths=[1024]"]).to_dict()
    found = figures(plan)
    assert found["tokens_per_s_per_gpu"] == plan["served"][0]["output_tokens_per_s_per_gpu"]
    assert found["requests_per_s_per_gpu"] == figures_cut(plan["served"][0]["requests_per_s"] / 16)
    rough = compile_plan([*base, "hardware.calibration=null"]).to_dict()
    assert figures(rough)["requests_per_s"] == rough["served"][-1]["requests_per_s"]
