"""What an error says to write instead compiles: mistakes of every kind, under every framework, pasted back."""

from __future__ import annotations

import itertools
import re

import pytest

from compiler.errors import Problem
from compiler.fixes import change, text
from tests.configs import composed
from tests.mistakes import BASES, Row, rows
from tests.pasted import alternatives, pasted, refused

ROUNDS = 3
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


class TestText:
    @pytest.mark.parametrize(
        ("said", "found"),
        [
            ("write a.b=1 c=[x, y], or d.e=null", [("a.b=1", "c=[x, y]"), ("d.e=null",)]),
            ("write workload.zero_stage=1 and workload.optimizer_offload=1", 2),
            ("write hardware.inventory=FILE, or framework.args=[--model,PATH]", []),
            ("write ep = tp*cp*adp with --flag=3", []),
            ("write workload.sequence_lengths=[8,16], multiples of 8", [("workload.sequence_lengths=[8,16]",)]),
        ],
    )
    def test_overrides_are_found_with_those_that_belong_together(self, said: str, found: object) -> None:
        named = text.named(said)
        assert named == found if isinstance(found, list) else [len(item) for item in named] == [found]

    def test_what_was_not_tried_has_no_key_and_value(self) -> None:
        said = "write hardware.nodes=4, --flag=x in framework.args=[a=b], or etp=1"
        assert "=" not in text.prose(said).replace("a=b", "")

    def test_what_is_to_be_left_out(self) -> None:
        assert list(text.left_out("leave --a and --b out, or leave workload.c out")) == [
            ("--a", "--b"),
            ("workload.c",),
        ]


class TestChange:
    @pytest.mark.parametrize("args", [["--a", "1", "x:y"], ["--json.a=1", "it's"], ["x=y", '{"a": [1]}'], []])
    def test_arguments_are_spelt_as_they_are_read(self, args: list[str]) -> None:
        from compiler.config.load import load_config

        assert load_config([f"framework.args={change.written(args)}"]).framework.args == args

    @pytest.mark.parametrize(
        "override",
        ["parallel=ep8_tp8_dp16", "hardware.nodes=64", "workload.optimizer_offload=1", "launch.time_limit=00:04:00"],
    )
    def test_laid_over_is_as_composed(self, override: str) -> None:
        from compiler.config.load import load_config

        found = change.applied(load_config([]), (override,), ())
        assert found == load_config([override])


def test_nothing_is_tried_of_an_error_of_writing() -> None:
    from compiler.errors import WriteError
    from compiler.fixes import tried

    error = WriteError([Problem("full", "write out=FOLDER")])
    assert tried(error, composed(), (), lambda _: composed()) is error


def test_the_first_suggestion_fills_the_cluster_by_dp_where_that_is_all_that_is_missing() -> None:
    (line,) = refused(["parallel=tp4_pp4"])
    assert re.search(r" ; write parallel=tp4_pp4_dp64 or ", line)


def test_an_inference_server_is_offered_instances() -> None:
    line, *_ = refused([*BASES["vllm"], "parallel=ep16_etp1_tp4_adp4", "hardware.nodes=16"])
    assert " ; write framework.instances=8 or " in line
