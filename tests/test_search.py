"""`parallel=auto`: the best plan of a cluster, as if somebody had typed it; and one line where there is none."""

from __future__ import annotations

import csv
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.brute import keys, space, whole
from compiler import CompilerError, ConfigError, InvariantError, compile_plan, search
from compiler.fixes.pasted import changed
from compiler.fixes.text import named
from compiler.passes import compile_config
from compiler.report import told
from compiler.searches.find import Found, row
from compiler.searches.leaders import configured
from compiler.searches.watched import Unchosen, Watched
from compiler.searches.write import candidates
from tests.command import ROOT, call, refused, tree
from tests.pages import Page, numbers
from tests.searched import held

TRAIN = ["workload=train", "framework=megatron", "model=mixtral_8x7b", "hardware=h100_80gb", "hardware.nodes=2"]
TRAIN += [
    "workload.global_batch_size=64",
    "search.vary={parallel.vpp:[1,2],workload.micro_batch_size:[1,2]}",
    "~expect",
]
SERVE = ["framework=vllm", "model=qwen3_32b", "hardware=h200", "hardware.nodes=1", "workload.sequence_lengths=[1024]"]
SERVE += ["workload.output_length=256", "search.vary={workload.global_batch_size:[1,16,128]}", "~expect"]


@pytest.fixture(scope="module")
def trained() -> Found:
    return search(TRAIN)


@pytest.fixture(scope="module")
def served() -> Found:
    return search(SERVE)


@pytest.mark.parametrize(
    "overrides",
    [
        TRAIN,
        [*TRAIN, "model=llama3_1_8b", "framework=torchtitan", "workload.global_batch_size=48"],
        [*TRAIN, "model=glm_4_5", "framework=none", "parallel.order=tp-cp-pp-ep-dp"],
        [*TRAIN, "framework=deepspeed"],
        [*TRAIN, "framework=torchtitan", "model=gpt_oss_20b", "hardware=b200", "workload.precision=fp8"],
        [*TRAIN, "framework=maxtext", "hardware.nodes=3"],
        SERVE,
        [*SERVE, "model=deepseek_v3", "framework=sglang", "hardware.nodes=2"],
        [*SERVE, "model=mixtral_8x7b", "framework=tensorrt_llm"],
        [*SERVE, "model=qwen3_30b_a3b", "workload.precision=fp8"],
    ],
    ids=lambda found: "_".join(item.partition("=")[2] for item in found if item.startswith(("model=", "framework="))),
)
def test_rules_of_many_plans_are_those_of_each(overrides: list[str]) -> None:
    """On random plans, half of them refused: the declared rules, and those of ranks that are laid out."""
    asked, differ = held([*overrides, "parallel=auto"], 25, 1)
    assert asked >= 25
    assert differ == []


def brute(overrides: Sequence[str]) -> list[tuple[float, tuple[int, ...]]]:
    """Every plan of a space compiled by itself: its score, the best first."""
    of = space([*overrides, "parallel=auto"])
    plans, found = whole(of), []
    for at, key in enumerate(keys(plans)):
        try:
            plan = compile_config(configured(of, plans, at))
        except CompilerError:
            continue
        memory, projection = plan.contents["memory"], plan.contents["projection"]
        if memory["total_bytes"] > memory["capacity_bytes"]:
            continue
        if "train" in projection:
            found.append((projection["train"]["step_time_s"], key))
        else:
            row = projection["serve"]["aggregated"][-1]
            found.append((-row["requests_per_s"] * plan.config.framework.instances, key))
    return sorted(found)


@pytest.mark.parametrize(
    "overrides",
    [
        [*TRAIN, "model=llama3_1_8b", "parallel.cp=1", "hardware.nodes=1"],
        [*SERVE, "parallel.cp=1", "search.vary={workload.global_batch_size:[1,128]}"],
    ],
    ids=["train", "serve"],
)
def test_the_best_is_that_of_a_loop_over_all(overrides: list[str]) -> None:
    """The same plans are feasible, the same one is the best, and all are in the same order; a training step in closed form may differ a
    little behind the leaders, which are replayed.
    """
    loop, found = brute(overrides), search(overrides)
    mine = list(keys(found.plans))
    assert {key for _, key in loop} == set(mine)
    alone = {key: score for score, key in loop}
    assert alone[mine[0]] == loop[0][0]
    scores = [alone[key] for key in mine]
    slack = 0.03 if found.best.config.workload.train else 1e-8
    assert all(later >= first - slack * abs(first) for first, later in itertools.pairwise(scores))


def test_the_folder_is_that_of_the_typed_plan(trained: Found, tmp_path: Path) -> None:
    """Byte for byte, whatever the search was told."""
    found, report = trained.write(tmp_path / "found")
    typed = [item for item in TRAIN if not item.startswith("search.")] + trained.contents["best"]["overrides"]
    assert tree(compile_plan(typed).write(tmp_path / "typed")) == tree(found)
    assert tree(found)["config.yaml"]
    assert sorted(path.name for path in report.iterdir()) == [
        "candidates.csv",
        "manifest.json",
        "report.html",
        "report.md",
        "summary.json",
    ]


def test_candidates_are_in_order(served: Found, tmp_path: Path) -> None:
    _, report = served.write(tmp_path)
    rows = list(csv.DictReader((report / "candidates.csv").read_text().splitlines()))
    summary = json.loads((report / "summary.json").read_text())
    assert list(rows[0])[:4] == ["rank", "degrees", "gpus", "workload.global_batch_size"]
    assert len(rows) == summary["space"]["feasible"]
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    rates = [float(row["tokens_per_s_per_gpu"]) * int(row["gpus"]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert {row["pareto"] for row in rows} == {"true", "false"}
    assert all(float(row["low"]) < float(row["tokens_per_s_per_gpu"]) < float(row["high"]) for row in rows)


def test_candidates_are_rows_of_their_plans(trained: Found) -> None:
    rows = list(csv.DictReader("".join(candidates(trained)).splitlines()))
    for at in range(0, len(rows), 7):
        one = row(trained, at) | {"pareto": str(bool(trained.pareto[at])).lower()}
        one |= {"stages": " ".join(map(str, one["stages"] or ()))}
        assert {
            key: f"{value:.9g}"
            if isinstance(value, float) and value == value
            else ""
            if value is None or value != value
            else str(value)
            for key, value in one.items()
        } == rows[at]


def test_figures_are_those_of_the_plan(trained: Found, served: Found) -> None:
    step = trained.best.contents["projection"]["train"]
    assert trained.contents["best"]["step_time_s"] == pytest.approx(step["step_time_s"], rel=1e-8)
    assert trained.contents["best"]["tokens_per_s_per_gpu"] == pytest.approx(step["tokens_per_s_per_gpu"], rel=1e-8)
    row = served.best.contents["projection"]["serve"]["aggregated"][0]
    assert served.contents["best"]["tpot_s"] == pytest.approx(row["tpot_s"], rel=1e-8)
    assert served.contents["best"]["requests_per_s"] == pytest.approx(
        row["requests_per_s"] * served.best.config.framework.instances, rel=1e-8
    )


def test_what_is_written_stays() -> None:
    found = search([*TRAIN, "parallel.tp=2", "parallel.dp=1"])
    degrees = found.best.config.degrees
    assert (degrees.tp, degrees.dp) == (2, 1)


def test_a_load_takes_no_more_gpus_than_it_needs() -> None:
    few, more = (search([*SERVE, f"search.requests_per_s={load}", "hardware.nodes=2"]) for load in (0.5, 20))
    assert few.contents["objective"] == "gpus"
    assert few.contents["best"]["gpus"] < more.contents["best"]["gpus"]
    assert more.contents["best"]["requests_per_s"] >= 20
    fewer = few.figures.gpus.min()
    assert few.contents["best"]["gpus"] == fewer


def test_limits_are_kept() -> None:
    """Also by what is usual, which is said not to keep them, and by what more nodes would give."""
    found = search([*SERVE, "search.tpot_s=0.01", "search.ttft_s=0.5"])
    assert (found.figures.tpot_s <= 0.01).all()
    assert found.contents["usual"][0]["says"].startswith("does not keep the limits: its TTFT is ")
    more = found.contents["more"][0]
    assert (more["what"], more["of_best"]) == ("one more node, `hardware.nodes=2`", 2)
    assert (found.figures.ttft_s <= 0.5).all()
    assert found.asked.refused["search.tpot_s"] > 0


BOTH = ["search.ttft_s=0.001", "search.tpot_s=0.0001"]
NONE = {
    "limit": ([*SERVE, BOTH[1]], "search.tpot_s=0.0001: none of ", "write search.tpot_s="),
    "limits": (
        [*SERVE, *BOTH, "search.requests_per_s=99"],
        "keeps them together; the nearest, ",
        "write search.ttft_s=",
    ),
    "load": ([*SERVE, "search.requests_per_s=100"], "8 GPUs carry at most", "write hardware.nodes="),
    "huge load": ([*SERVE, "search.requests_per_s=1e12"], "carry at most", "write search.requests_per_s="),
    "capped load": ([*SERVE, "search.requests_per_s=9", "search.gpus=1"], "1 GPUs carry at most", "write search.gpus="),
    "fixed": (
        [*TRAIN, "parallel.tp=7"],
        "parallel.tp=7 leaves no plan of 16 GPUs",
        "write parallel.tp=8, or leave parallel.tp out",
    ),
    "instances": (
        [*SERVE, "framework.instances=9"],
        "framework.instances=9 leaves no plan of 8 GPUs",
        "write framework.instances=8, or leave",
    ),
    "rule": (
        [*TRAIN, "parallel.ep=16"],
        "the last are refused by experts",
        "write ep as a divisor of 8, or leave parallel.ep out",
    ),
    "stages": ([*TRAIN, "parallel.stages=[16,15]"], "are refused by layers-to-stages", "write parallel.stages=[16,16]"),
    "memory": ([*TRAIN, "search.vary=[]", "search.gpus=8"], "no plan of 8 GPUs fits in memory", "write search.gpus=16"),
    "nodes": ([*TRAIN, "search.gpus=7"], "a training plan fills its nodes of 8 GPUs", "write search.gpus=8"),
    "step of servers": (
        [*SERVE, "search.objective=step_time"],
        "is a training step's",
        "write search.objective=latency",
    ),
    "objective": ([*SERVE, "search.objective=gpus"], "has no load to carry", "write search.requests_per_s=N"),
    "training": ([*TRAIN, "search.ttft_s=1"], "the plan trains", "leave search.ttft_s out"),
}
TAKEN = {"limits", "load", "capped load", "fixed", "instances", "stages", "memory"}
"""Those whose first fix is taken here."""


@pytest.mark.parametrize("name", NONE)
def test_where_nothing_is_found_one_line_says_why(name: str) -> None:
    """And what it says to write leaves plans."""
    overrides, what, instead = NONE[name]
    with pytest.raises(InvariantError) as error:
        search(overrides)
    assert len(error.value.problems) == 1
    assert what in str(error.value)
    said = str(error.value).partition(" ; ")[2]
    assert said.startswith(instead)
    for fix in named(said)[: name in TAKEN]:
        assert len(search(changed(overrides, fix)).plans)


VARIED: dict[str, Any] = {
    "[workload.zero_stage,workload.zero_stage]": (0, 1, 2, 3),
    "{workload.zero_stage: [3, 0, 3]}": (3, 0),
    "{workload.zero_stage: [4]}": "search.vary: workload.zero_stage=4 is above 3 ; write at most 3",
    "{workload.zero_stage: 3}": "search.vary.workload.zero_stage=3 is no list of values",
    "{workload.zero_stage: [a]}": "Value 'a' of type 'str' could not be converted to Integer",
    "{workload.schedule: [1f1b, foo]}": "search.vary: workload.schedule=foo is not a known value",
    "{parallel.order: [foo]}": "search.vary: parallel.order=foo is no order of the axes",
    "{workload.sequence_lengths: [1024]}": "search.vary: workload.sequence_lengths=1024 is not a list",
    "[workload.tokens]": "has no values to try",
    "[workload.recompte]": "is no key ; did you mean workload.recompute",
    "[framework]": "search.vary names framework, a section of keys",
    "{parallel.tp: [1, 2]}": "search.vary names parallel.tp, which a search chooses anyway",
    "[placement]": "search.vary names placement, which is not for a search to choose",
    "5": "search.vary=5 is neither a list of keys nor a mapping of them",
    "[workload.precision,workload.zero_stage,workload.recompute,workload.schedule,workload.optimizer,workload.cuda_graphs]": "makes 2,268 plans of each",
}  # fmt: skip


@pytest.mark.parametrize("asked", VARIED, ids=lambda asked: str(asked)[:40])
def test_what_is_varied_is_checked_as_overrides_are(asked: str) -> None:
    """Words and switches are named, and their values are those of their fields; others are given, and each counts once."""
    overrides, said = [*TRAIN, "parallel=auto", f"search.vary={asked}"], VARIED[asked]
    if isinstance(said, tuple):
        assert dict(space(overrides).vary) == {"workload.zero_stage": said}
        return
    with pytest.raises(ConfigError, match=re.escape(said)):
        search(overrides)


def test_what_limits_a_search_is_refused_without_one() -> None:
    """A search has degrees of its own to find: none are proposed beside it."""
    with pytest.raises(ConfigError) as error:
        compile_plan([*TRAIN, "parallel=dp16", "search.gpus=8"])
    assert str(error.value.problems[1]) == (
        "search.gpus=8 limits no search: the degrees are written ; write parallel=auto"
    )
    with pytest.raises(ConfigError, match=r"search\.name=a/b cannot name a folder"):
        search([*SERVE, "search.name=a/b"])


def test_a_varied_key_is_costed_as_when_it_is_typed() -> None:
    """Each precision has curves of its own, and ZeRO takes less memory than the bound that full recomputation is."""
    vary = "search.vary={workload.precision:[bf16,fp8],workload.zero_stage:[0,2],workload.recompute:[full]}"
    found = search([*TRAIN, "model=llama3_1_8b", "parallel.cp=1", "parallel.pp=1", "hardware.nodes=1", vary])
    for at in range(0, len(found.plans), 5):
        plan = compile_config(configured(found.space, found.plans, at)).contents
        assert found.figures.step_time_s[at] == pytest.approx(plan["projection"]["train"]["step_time_s"], rel=1e-8)
    assert {found.plans.value("workload.zero_stage", at) for at in range(len(found.plans))} == {0, 2}


def test_leaders_are_of_different_degrees_and_in_the_order_that_is_asked_for() -> None:
    batches = "search.vary={workload.global_batch_size:[64,256],parallel.vpp:[1,2]}"
    throughput, step = (search([*TRAIN, batches, f"search.objective={word}"]) for word in ("throughput", "step_time"))
    assert throughput.contents["best"]["workload.global_batch_size"] == 256
    assert step.contents["best"]["workload.global_batch_size"] == 64
    assert (np.diff(throughput.figures.tokens_per_s[:9]) <= 0).all()
    for found in (throughput, step):
        rows = [row["degrees"].replace("_vpp2", "") for row in found.contents["leaders"]]
        assert len(set(rows)) == len(rows) == 5


def test_a_watched_configuration_notes_what_is_read() -> None:
    """Of a plan, of what is made of it, and of what follows from degrees; what is not chosen yet cannot be read."""
    of = space([*TRAIN, "parallel=auto"])
    plans, watched = whole(of), Watched(of.config, of.keys)
    at = len(plans) - 1
    watched.point(of.point(plans, at))
    config, plain = watched.config, configured(of, plans, at)
    assert (config.degrees.world_size, config.ranks) == (16, 16)
    assert set(watched.read) == {"world_size", "framework.instances"}
    other = replace(config, workload=replace(config.workload, precision="fp8"))
    assert (other.degrees.tp, other.degrees.edp, other.parallel.stages) == (
        plain.degrees.tp,
        plain.degrees.edp,
        plain.parallel.stages,
    )
    assert {"tp", "edp", "pp", "vpp", "parallel.stages", "workload.micro_batch_size"} <= set(watched.read)
    watched.unchosen = frozenset({"vpp"})
    assert config.degrees.pp == plain.degrees.pp
    with pytest.raises(Unchosen):
        config.degrees.vpp  # noqa: B018 - reading it is the test


def test_plain_compiles_know_no_search(tmp_path: Path) -> None:
    """They do not wait for its modules."""
    code = "import sys; from compiler import compile_plan; compile_plan()"
    code += "; print([name for name in sys.modules if name.startswith('compiler.searches')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_on_the_command_line_the_best_comes_first(tmp_path: Path) -> None:
    """Then what it was held against, what a star is, and its warnings."""
    asked = [*TRAIN, "model=llama3_1_405b", "hardware=b200", "hardware.nodes=8", "parallel.tp=4", "parallel.cp=1"]
    asked += ["parallel=auto", "search.name=mine", "report.html=false"]
    ran = call(*asked, cwd=tmp_path)
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert lines[0].startswith("best ")
    assert "parallel=" in lines[0]
    assert any(re.match(r"memory .* GB of 192.*GB$", line) for line in lines)
    assert "*: the layers of its stages are written, as in `parallel.stages=[" in ran.out
    assert "warning: image: " in ran.out
    report = next(line.split()[-1] for line in lines if line.startswith("report "))
    assert (tmp_path / report).name == "report.md"
    assert (tmp_path / report).is_file()
    again = call(*asked, f"out={tmp_path / 'again'}", cwd=tmp_path)
    assert again.code == 0
    assert tree(tmp_path / "again") == tree(tmp_path / "out")


def test_each_job_of_a_sweep_is_a_search(tmp_path: Path) -> None:
    ran = call(
        "-m",
        *TRAIN,
        "parallel=auto",
        "hardware.nodes=1,2",
        "model=llama3_1_8b",
        "sweep=two",
        "search.name=s",
        cwd=tmp_path,
    )
    assert ran.code == 0
    rows = list(csv.DictReader((tmp_path / "out" / "sweeps" / "two" / "summary.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert [row["world_size"] for row in rows] == ["8", "16"]
    names = [path.name for path in (tmp_path / "out" / "searches").iterdir()]
    assert len(names) == 2
    assert all(name.startswith("s-") for name in names)


def test_a_search_without_a_plan_leaves_nothing_behind(tmp_path: Path) -> None:
    refused(tmp_path, *TRAIN, "parallel=auto", "parallel.tp=7", code=3)


def test_its_page_says_what_its_files_say(trained: Found, tmp_path: Path) -> None:
    _, place = trained.write(tmp_path)
    read = Page((place / "report.html").read_text(encoding="utf-8"))
    summary = json.loads((place / "summary.json").read_text())
    said = [(path.removeprefix("summary.json#"), float(value)) for path, value in numbers(read)]
    assert len(said) > 4
    assert [path for path, value in said if told.at(summary, path) != value] == []
    assert len(read.of("polyline")) == 1
    assert read.of("dt")[0].text == "best"
