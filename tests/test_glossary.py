"""docs/glossary.md is what compiler/glossary.py says, and both are what the code has; `python -m tests.test_glossary` writes it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from compiler.cluster.spans import SPANS
from compiler.glossary import ENUMS, FIELD, TERMS, AxisName, Degree, Kind, Span, Word
from compiler.layout.groups import ATTENTION_KINDS, EXPERT_KINDS
from compiler.specs.degrees import WRITTEN, Degrees
from compiler.specs.workload import ROLES
from tests.glossary import page
from tests.worlds import world

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.test_glossary`"


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.word)
def test_a_thing_is_where_it_is_said_to_be(term: Any) -> None:
    module, _, name = term.place.partition(":")
    assert hasattr(import_module(module), name)


def test_a_word_is_one_thing() -> None:
    words = [term.word for term in TERMS] + [word for both, _ in FIELD for word in both.split(", ")]
    assert len({*words}) == len(words)
    assert len({term.place for term in TERMS}) == len(TERMS)
    for enum in ENUMS:
        assert len({word.meaning for word in enum}) == len(enum)


def test_axes_are_those_of_the_grids() -> None:
    found = world()
    assert {*AxisName} == {*found.attention.names, *found.expert.names}


def test_degrees_are_those_that_are_written_and_what_follows() -> None:
    assert [word for word in Degree if word is not Degree.EDP] == list(WRITTEN)
    assert {*Degree} == {*Degrees(1, 1, 1, 1, 1, 1, 1).to_dict()} - {"name"}


def test_kinds_and_spans_are_those_of_the_tables(strategy_folder: Path) -> None:
    lines = (strategy_folder / "nccl_groups.csv").read_text().splitlines()[1:]
    assert list(dict.fromkeys(line.split(",")[0] for line in lines)) == [*ATTENTION_KINDS, *EXPERT_KINDS] == list(Kind)
    assert {line.split(",")[3] for line in lines} <= {*SPANS} == {*Span}


def test_phases_of_serving_are_the_pools() -> None:
    assert tuple(dict(FIELD)) >= ("step time",)
    assert ", ".join(ROLES) in dict(FIELD)


def test_a_word_is_its_text_in_every_file() -> None:
    word: Word = Span.NVLINK
    assert (f"{word}", str(word), repr(word), json.dumps({word: word})) == (
        "nvlink",
        "nvlink",
        "'nvlink'",
        '{"nvlink": "nvlink"}',
    )


if __name__ == "__main__":
    PAGE.write_text(page())
