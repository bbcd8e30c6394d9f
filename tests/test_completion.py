"""What a shell completes: asked of the program, and by the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from compiler.commands.completion import COMMANDS, SHELLS, candidates, run
from compiler.rankplan import WORDS
from tests.command import ROOT

SHOWN = {
    "bash": 'source <(rankplan completion bash); COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; _rankplan; printf "%s\\n" "${COMPREPLY[@]}"',
    "fish": 'rankplan completion fish | source; complete -C "$argv[1]"',
    "zsh": "autoload -U compinit; compinit -D; source <(rankplan completion zsh); compadd() { shift 3; print -l $@ }; "
    "words=(${(z)1}); CURRENT=${#words}; _rankplan",
}
"""A program in each shell that completes its first argument."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a plan of each kind of place, and `rankplan` on the path."""
    for plan in ("out/mine", "out/sweeps/a/job"):
        (tmp_path / plan).mkdir(parents=True)
        (tmp_path / plan / "manifest.json").write_text("{}")
    program = tmp_path / "bin" / "rankplan"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m compiler.rankplan "$@"\n')
    program.chmod(0o755)
    return tmp_path


def test_every_command_is_known() -> None:
    assert set(COMMANDS) == set(WORDS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sh"], ["show"]),
        (["model=mixtral"], ["model=mixtral_8x22b", "model=mixtral_8x7b"]),
        (["parallel=tp8", "workload.global"], ["workload.global_batch_size="]),
        (["hardware.nvl"], ["hardware.nvlink."]),
        (["hardware.nvlink.l"], ["hardware.nvlink.latency="]),
        (["nothing.at.all"], []),
        (["show", "o"], ["out/"]),
        (["show", "out/"], ["out/mine", "out/sweeps/"]),
        (["show", "out/mine", "jo"], ["job=kubernetes", "job=local", "job=slurm"]),
        (["impact", "out/mine", "--lost", "l"], ["leaf="]),
        (["diff", "out/mine", "hardware=h100_8"], ["hardware=h100_80gb"]),
    ],
)
def test_words(place: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], expected: list[str]) -> None:
    monkeypatch.chdir(place)
    assert candidates(words) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_itself_completes(place: Path, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(place),
    }
    for line, expected in (("rankplan show out/mi", "out/mine"), ("rankplan model=mixtral_8x7", "model=mixtral_8x7b")):
        given = [program, *["-f"] * (shell == "zsh"), "-c", SHOWN[shell], *["_"] * (shell != "fish"), line]
        done = subprocess.run(given, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert expected.endswith(done.stdout.strip()), done.stderr
        assert done.stdout.strip()


def test_another_shell_is_refused() -> None:
    with pytest.raises(Exception, match="invalid choice: 'tcsh'"):
        run(["tcsh"])
