"""docs/graph.md shows what is really answered."""

from __future__ import annotations

import doctest
import os
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "graph.md"


def test_the_examples_are_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (f"node{i:03d},leaf{i // 16},pod{i // 64},rack{i // 16}\n" for i in range(130))
    (tmp_path / "hosts.csv").write_text("host,leaf,pod,rack\n" + "".join(rows))
    monkeypatch.chdir(tmp_path)
    assert os.path.exists("hosts.csv")  # noqa: PTH110 - as the page names it
    text = PAGE.read_text().replace("```", "\n")
    test = doctest.DocTestParser().get_doctest(text, {}, "graph.md", str(PAGE), 0)
    found = doctest.DocTestRunner().run(test)
    assert found.attempted > 8
    assert found.failed == 0
