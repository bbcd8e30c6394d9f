"""`parallel=auto`: the best plan of a cluster, as if somebody had typed it; and one line where there is none."""

from __future__ import annotations

import csv
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.brute import BEHIND, keys, loop, space, whole
from compiler import compile_plan, search
from compiler.passes import compile_config
from compiler.report import told
from compiler.searches import leaders
from compiler.searches.find import Found, row
from compiler.searches.leaders import configured
from compiler.searches.write import candidates
from tests.command import ROOT, call, tree
from tests.pages import Page, numbers
from tests.searched import SERVE, TRAIN


@pytest.fixture(scope="module")
def trained() -> Found:
    return search(TRAIN)


@pytest.fixture(scope="module")
def served() -> Found:
    return search(SERVE)


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
    of = space([*overrides, "parallel=auto"])
    alone, found = loop(of, whole(of)), search(overrides)
    mine = list(keys(found.plans))
    assert set(alone) == set(mine)
    scores = [alone[key] for key in mine]
    assert scores[0] == min(scores)
    slack = BEHIND if found.best.config.workload.train else 1e-8
    assert all(later >= first - slack * abs(first) for first, later in itertools.pairwise(scores))


def test_the_first_plan_is_timed_by_itself_also_where_hardly_any_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The closed form may put a plan first that it times too well."""
    monkeypatch.setattr(leaders, "MOST", 1)
    monkeypatch.setattr(leaders, "CLOSED", 0.0)
    found = search([*TRAIN, "model=llama3_1_8b", "parallel.cp=1", "hardware.nodes=1"])
    own = leaders.projection(configured(found.space, found.plans, 0))["train"]["step_time_s"]
    assert found.figures.step_time_s[0] == pytest.approx(own, rel=1e-12)


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


def test_its_page_says_what_its_files_say(trained: Found, tmp_path: Path) -> None:
    _, place = trained.write(tmp_path)
    read = Page((place / "report.html").read_text(encoding="utf-8"))
    summary = json.loads((place / "summary.json").read_text())
    said = [(path.removeprefix("summary.json#"), float(value)) for path, value in numbers(read)]
    assert len(said) > 4
    assert [path for path, value in said if told.at(summary, path) != value] == []
    assert len(read.of("polyline")) == 1
    assert read.of("dt")[0].text == "best"
