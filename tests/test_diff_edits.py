"""`diff` on edits of plans of every framework: its verdict, and what it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compiler import compile_plan
from compiler.config.again import compiled
from compiler.diff import side
from compiler.diff.compared import compare
from compiler.diff.text import text
from tests.plan_edits import BASES, BEGIN, DOCS, EDITS, END, Edit, table


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], side.Side]:
    """One of BASES, compiled once."""
    out, found = tmp_path_factory.mktemp("bases"), dict[str, side.Side]()

    def made(name: str) -> side.Side:
        if name not in found:
            folder = name.replace(", ", "_").replace(" ", "_")
            found[name] = side.read(compile_plan(list(BASES[name])).write(out, folder), name)
        return found[name]

    return made


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit.plan} {' '.join(edit.overrides)}")
def test_verdict_and_its_reason(base: Callable[[str], side.Side], tmp_path: Path, edit: Edit) -> None:
    old = base(edit.plan)
    found = compare(old, side.read(compiled(old.path, edit.overrides).write(tmp_path, "new"), "new"))
    said = "\n".join(text(found, whole=True))
    assert said.splitlines()[0] == edit.verdict, said
    reasons = "\n".join(f"{change.what} {change.after} {change.why}" for change in found.reasons)
    assert edit.named in reasons, said


def test_every_framework_and_every_verdict_are_in_the_table() -> None:
    from compiler.frameworks.adapter import names

    assert {edit.plan.partition(",")[0] for edit in EDITS} == set(names())
    assert {edit.verdict for edit in EDITS} == {"cosmetic", "restart", "reshard", "breaks-resume", "trains-differently"}
    assert len(EDITS) >= 40


def test_the_table_of_the_docs_is_this_one() -> None:
    assert DOCS.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip() == table().strip()
