"""Topics of the report: each is one module, and is laid out in the report and on the console alike."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from compiler.api import compile_plan
from compiler.console import summary
from compiler.report import sections
from compiler.report.blocks import Command, Items, Section, Table
from compiler.report.markdown import markdown
from tests.pooled_plans import ON, POOLS

TOPIC = """
from compiler.report.blocks import Section, Table

REPORT, CONSOLE = 55, 15


def sections(plan, contents):
    rows = ((str(contents["world_size"]), "a|b"),)
    yield Section("Mine", ("Of mine.", Table(("ranks", "cell"), rows)), lines=(("mine", "of mine"),))
"""


def test_a_topic_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "of_mine.py").write_text(TOPIC)
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    plan = compile_plan(["scheduler=[]"])
    text = markdown(plan.name, sections.of(plan, plan.to_dict()))
    mine = "## Mine\n\nOf mine.\n\n| ranks | cell |\n|---|---|\n| 1024 | a\\|b |\n\n## Stages"
    assert mine in text
    assert text.index("## Groups") < text.index("## Mine")
    summary(plan, Path("out/x"))
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    at = names.index("plan")
    assert names[at : at + 5] == ["plan", "folder", "ranks", "degrees", "mine"]


def test_blocks_are_laid_out_with_a_line_between() -> None:
    found = [Section("", ("Text.",)), Section("Silent"), Section("B", (Items(("a", "b")), Command("c", "run x")))]
    assert markdown("n", found) == "# n\n\nText.\n\n## B\n\n- a\n- b\n\n- c:\n\n      run x\n"
    broken = Section("T", (Table(("h",), (("two\nlines  |",),)),))
    assert markdown("n", [broken]).endswith("| h |\n|---|\n| two lines \\| |\n")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("<img src=x> and `<b>`, 1 <= 3", "&lt;img src=x> and `<b>`, 1 <= 3"),
        ("``a`<i>`` <!-- </p>", "``a`<i>`` &lt;!-- &lt;/p>"),
        (r"\`<img>\` \<b> \\<b>", r"\`&lt;img>\` \<b> \\&lt;b>"),
    ],
)
def test_what_somebody_is_called_is_no_html(text: str, written: str) -> None:
    blocks = (text, Items((text,)), Table((text,), ((text,),)))
    assert markdown("n", [Section(blocks=blocks)]).count(written) == 4


@pytest.mark.parametrize("overrides", [["scheduler=[]"], [*ON, POOLS]])
def test_every_topic_speaks_once_of_a_plan_or_of_pools(overrides: list[str]) -> None:
    plan = compile_plan(overrides)
    found = sections.of(plan, plan.to_dict())
    titles = [section.title for section in found]
    assert len(set(titles)) == len(titles)
    assert ("Rates" in titles, "Groups" in titles) == (not plan.alone, plan.alone)
    again = sections.of(plan, plan.to_dict(), console=True)
    assert [section.title for section in again if section.title not in titles] == []
    assert sorted(line for section in again for line in section.lines) == sorted(
        line for section in found for line in section.lines
    )


@pytest.mark.parametrize("where", ["REPORT", "CONSOLE"])
def test_no_two_topics_have_one_place(where: str) -> None:
    topics = [import_module(f"{sections.__name__}.{item.name}") for item in iter_modules(sections.__path__)]
    places = [getattr(topic, where) for topic in topics if getattr(topic, where) is not None]
    assert len(topics) > 15
    assert len(set(places)) == len(places)
