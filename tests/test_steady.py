"""Commands read one plan, whatever is compiled in its place meanwhile, and find one that a killed writer took away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler import ConfigError, compile_plan
from compiler.commands import folder, prove, show
from compiler.commands.steady import TRIES, steady
from compiler.plan import Plan
from compiler.render import rename
from tests.killed import killed, then_die

Capture = pytest.CaptureFixture[str]


def small(degrees: str, nodes: int) -> Plan:
    return compile_plan(["scheduler=[]", "~expect", "name=plan", f"parallel={degrees}", f"hardware.nodes={nodes}"])


def write(plan: Plan, out: Path) -> None:
    plan.write(out)


@pytest.fixture(scope="module")
def one() -> Plan:
    return small("ep8_tp8", 8)


@pytest.fixture(scope="module")
def other() -> Plan:
    return small("ep4_tp4_dp2", 4)


@pytest.fixture
def replaced(tmp_path: Path, one: Plan, other: Plan, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan folder that is compiled to another plan after the first file that is read."""
    path, text = one.write(tmp_path), folder._text
    read: list[str] = []

    def reading(place: Path, name: str) -> str:
        found = text(place, name)
        if not read:
            other.write(tmp_path)
        read.append(name)
        return found

    monkeypatch.setattr(folder, "_text", reading)
    return path


def test_show_reads_the_new_plan_whole(replaced: Path, capsys: Capture) -> None:
    show.run([str(replaced), "slot=3", "--json"])
    assert json.loads(capsys.readouterr().out)["world_size"] == 32


def test_prove_does_not_compare_two_plans(replaced: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "_oracle", lambda world, wheel: iter(()))
    assert prove.run([str(replaced)]) == 0
    assert "DIFFERS" not in capsys.readouterr().out


def test_what_never_stands_still_is_said_to(tmp_path: Path) -> None:
    def replace() -> None:
        for path in tmp_path.glob("plan*"):
            path.rename(tmp_path / f"was-{path.stat().st_ino}-{len(list(tmp_path.iterdir()))}")
        (tmp_path / "plan").mkdir()

    replace()
    with pytest.raises(ConfigError, match=f"plan was replaced {TRIES} times while it was read ; ask again"):
        steady(tmp_path / "plan", replace)


def test_a_plan_that_a_killed_writer_took_away_is_back(
    tmp_path: Path, one: Plan, other: Plan, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    path, move = one.write(tmp_path), Path.rename
    with monkeypatch.context() as patch:
        patch.setattr(rename, "exchange", lambda one, other: False)
        patch.setattr(Path, "rename", lambda self, to: then_die(move, self, to))
        assert killed(lambda: write(other, tmp_path))
    assert not path.exists()
    show.run([str(path), "rank=63", "--json"])
    assert json.loads(capsys.readouterr().out)["world_size"] == 64
    assert list(tmp_path.iterdir()) == [path]
