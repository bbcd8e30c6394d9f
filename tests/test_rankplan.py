"""The console script: a command by its word, and a compile without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compiler.rankplan import WORDS, main
from tests.command import BARE, ROOT


def test_every_command_has_a_word() -> None:
    """A command is what says first how it is started."""
    files = [*(ROOT / "compiler").glob("*.py"), *(ROOT / "compiler").glob("*/__main__.py")]
    found = [re.match(r'"""`python -m compiler\.(\w+)', file.read_text(encoding="utf-8")) for file in files]
    assert set(WORDS) == {door[1] for door in found if door}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_runs_its_command(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([word, "--help"])
    assert stopped.value.code == 0
    assert f"usage: python -m compiler.{word}" in capsys.readouterr().out


def test_overrides_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main([BARE, "parallel=tp8", "hardware.nodes=1", "name=made"])
    assert stopped.value.code == 0
    assert (tmp_path / "out" / "made" / "plan.json").is_file()
