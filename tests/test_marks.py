"""Marks that follow from what a test reaches."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests import command
from tests.command import call, program
from tests.marks import RULES, reached
from tests.worlds import world


def _directly() -> object:
    return subprocess.run


def _by_a_helper() -> object:
    return program


def _within_a_module() -> object:
    return command.program


def _imports() -> object:
    return pytest.importorskip("torch")


class _Held:
    def ask(self) -> object:
        return call


def _by_a_class() -> object:
    return _Held


def _lays_out() -> object:
    return world


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (_directly, {"process"}),
        (_by_a_helper, {"process"}),
        (_within_a_module, {"process"}),
        (_imports, {"framework"}),
        (_by_a_class, {"compiles"}),
        (_lays_out, set()),
    ],
)
def test_a_test_is_marked_by_what_it_reaches(function: Any, found: set[str]) -> None:
    places = reached(function)
    assert {name for name, rule in RULES.items() if any(rule.match(place) for place in places)} == found


def test_this_one_is_of_the_core(request: pytest.FixtureRequest) -> None:
    marked = {mark.name for mark in request.node.iter_markers()}
    assert marked >= {"core"}
    assert not marked & {*RULES, "slow"}
