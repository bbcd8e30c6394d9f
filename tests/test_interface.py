"""docs/interface.md promises what plans hold."""

from __future__ import annotations

import csv
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from compiler import Plan, compile_plan, errors
from compiler.checks import Check, Status
from compiler.claims.judge import Verdict
from compiler.rankplan import WORDS
from compiler.sweep_summary import COLUMNS
from tests.command import BARE

PAGE = (Path(__file__).parents[1] / "docs" / "interface.md").read_text()
ROWS = {
    key: text
    for keys, text in re.findall(r"^\| (`[^|]*) \| (.*) \|$", PAGE, re.MULTILINE)
    for key in re.findall(r"`([^`]+)`", keys)
}


def words(text: str) -> list[list[str]]:
    """Words of each code span."""
    return [span.split() for span in re.findall(r"`([^`]+)`", text)]


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    return compile_plan([BARE, "workload=train", "hardware=h100_80gb", "hardware.nodes=128"]).to_dict()


@pytest.mark.parametrize("table", ["rank_map.csv", "nccl_groups.csv", "slots.csv"])
def test_columns_of_the_tables_begin_as_promised(strategy_folder: Path, table: str) -> None:
    promised = words(ROWS[table])[0][0].split(",")
    with (strategy_folder / table).open(newline="") as file:
        assert next(csv.reader(file))[: len(promised)] == promised


def test_every_file_is_promised_and_every_promise_kept(strategy_folder: Path) -> None:
    files = {path.name for path in strategy_folder.iterdir() if path.is_file()}
    assert files == {name for name in ROWS if "." in name and name in files}
    assert {"plan.json", "config.yaml", "report.md", "manifest.json"} <= files


def test_plan_json_has_its_keys(strategy_json: dict[str, Any], trained: dict[str, Any]) -> None:
    for plan in (strategy_json, trained):
        assert [key for key in ROWS if key in plan] == [key for key in ROWS if "." not in key and "/" not in key]
    assert words(ROWS["schema"]) == [[strategy_json["schema"]]]
    assert {*words(ROWS["degrees"])[0]} == {*strategy_json["degrees"]} - {"name"}
    for key in ("memory", "params"):
        assert {*words(ROWS[key])[0]} <= {*strategy_json[key]}
    assert {*words(ROWS["memory"])[0]} <= {*strategy_json["memory"]["stages"][0]}
    assert {*words(ROWS["communication"])[0]} <= {*strategy_json["communication"][0]}


def test_projections_have_their_keys(strategy_json: dict[str, Any], trained: dict[str, Any]) -> None:
    _, train, _, _, prefill, _, decode = words(ROWS["projection"])
    assert {*train} <= {*trained["projection"]["train"]}
    assert {*prefill} <= {*strategy_json["projection"]["serve"]["prefill"][0]}
    assert {*decode} <= {*strategy_json["projection"]["serve"]["decode"][0]}


def test_checks_and_claims_are_as_promised() -> None:
    fields, *_ = words(ROWS["checks"])
    assert fields == list(inspect.signature(Check).parameters)
    assert [word for (word,) in words(ROWS["checks"])[2:]] == list(Status)
    fields, *_ = words(ROWS["expectations"])
    assert {*fields} <= {*inspect.signature(Verdict).parameters}


def test_exits_and_words_are_those_of_the_program() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)}
    raised = {getattr(item, "exit_code", None) for item in vars(errors).values()} - {None}
    assert raised <= codes == set(range(5))
    assert {name for name in WORDS if f"`{name} " in PAGE} == {*WORDS}
    promised = re.findall(r"`(job,[^`]*)`", PAGE)[0].split(",")
    assert list(COLUMNS)[: len(promised)] == promised


def test_ranks_are_counted_as_promised(strategy: Plan) -> None:
    found, degrees = strategy.rank_map, strategy.world.degrees
    tp, cp, adp = degrees.tp, degrees.cp, degrees.adp
    assert (found["tp"] + tp * (found["cp"] + cp * (found["dp"] + adp * found["pp"])) == found["rank"]).all()
    expert = found["etp"] + degrees.etp * (found["ep"] + degrees.ep * (found["edp"] + degrees.edp * found["pp"]))
    assert (expert == found["rank"]).all()
