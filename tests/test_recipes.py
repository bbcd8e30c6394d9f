"""CONTRIBUTING's recipes: what is added is one file in a folder of its own, and no file of ours knows it.

A framework and a scheduler are added so in test_plugins.py, a family of models in test_families.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from compiler import CompilerError, Plan, compile_plan, invariants
from compiler.commands import folder
from compiler.commands.lookup import group_answer
from compiler.diff import compared, side, topics
from compiler.invariants import registry
from compiler.layout import groups
from compiler.render.folder import files
from compiler.report import sections
from tests.command import BARE

Put = Callable[[ModuleType, str, str], None]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Adds a module to a package, from a folder of its own; all is as before afterwards."""
    rules = [list(moment.found) for moment in (registry.declared, registry.laid_out, registry.costed)]
    added: list[str] = []

    def add(package: ModuleType, name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        added.append(f"{package.__name__}.{name}")
        _look_again()

    yield add
    for name in added:
        sys.modules.pop(name, None)
    for moment, before in zip((registry.declared, registry.laid_out, registry.costed), rules, strict=True):
        moment.found[:] = before
    _look_again()


def _look_again() -> None:
    compared.topics.cache_clear()
    registry.load.cache_clear()


def test_a_section_of_the_report(put: Put, strategy: Plan) -> None:
    put(
        sections,
        "mine",
        """
from compiler.report.blocks import Section, Table

REPORT, CONSOLE = 55, 85


def sections(plan, contents):
    table = Table(("rank", "layers"), (("0", plan.rank_map["layers"][0]),))
    yield Section("Mine", ("Of rank 0.", table), lines=(("mine", str(contents["world_size"])),))
""",
    )
    report = next(item.text for item in files(strategy) if item.path == "report.md")
    assert "## Mine\n\nOf rank 0.\n\n| rank | layers |\n|---|---|\n| 0 | 0-3 |\n" in report
    found = sections.of(strategy, strategy.contents, console=True)
    assert ("mine", "1024") in [line for section in found for line in section.lines]


def test_an_invariant(put: Put) -> None:
    put(
        invariants,
        "mine",
        """
from compiler.checks import check
from compiler.invariants.registry import declared


@declared("mine-nodes")
def even(config):
    nodes = config.hardware.nodes
    yield check(
        holds=nodes % 2 == 0, observed=nodes, limit="even", message=f"{nodes} nodes", fix="write hardware.nodes=128"
    )
""",
    )
    assert "mine-nodes" in {item.id for item in compile_plan([BARE]).checks}
    with pytest.raises(CompilerError, match=r"mine-nodes: 127 nodes ; write hardware\.nodes=128"):
        compile_plan([BARE, "hardware.nodes=127"])


def test_a_kind_of_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its axes in a line: tables, spans, the report and `show` have it."""
    monkeypatch.setitem(groups.ATTENTION_KINDS, "cp_pp", ("cp", "pp"))
    plan = compile_plan([BARE, "parallel=ep4_tp4_cp2_pp4_dp8", "workload.sequence_lengths=[1024]"])
    assert plan.groups["cp_pp"].shape == (128, 8)
    written = plan.write(tmp_path)
    rows = [line for line in (written / "nccl_groups.csv").read_text().splitlines() if line.startswith("cp_pp,")]
    assert len(rows) == 128
    assert rows[0] == f"cp_pp,0,8,{plan.world.worst_span('cp_pp')}," + " ".join(map(str, plan.groups["cp_pp"][0]))
    assert "| cp_pp | 128 | 8 |" in (written / "report.md").read_text()
    assert group_answer(folder.read(written), "cp_pp", 5).size == 8


def test_a_topic_of_diff(put: Put, strategy_folder: Path, tmp_path: Path) -> None:
    put(
        topics,
        "mine",
        """
from compiler.diff.topic import Topic
from compiler.diff.verdict import Change, Verdict


def changes(old, new):
    yield Change("mine", "names", old.name, new.name, Verdict.COSMETIC)


TOPIC = Topic("mine", 99, "of mine", changes)
""",
    )
    other = compile_plan([BARE, "name=other"]).write(tmp_path / "out")
    found = compared.compare(side.read(strategy_folder, "a"), side.read(other, "b"))
    assert [(change.what, change.after) for change in found.changes if change.topic == "mine"] == [("names", "other")]
