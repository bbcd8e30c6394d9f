"""How commands end: the answer of one whose exit code counts, where nobody reads it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler import compile_plan
from compiler.diff import command
from compiler.entry import finish, say


@contextlib.contextmanager
def unread() -> Iterator[None]:
    """Standard output is a pipe that its reader has closed."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8") as gone, contextlib.redirect_stdout(gone):
        yield


@pytest.mark.parametrize("lines", [1, 100_000])
def test_an_exit_code_that_is_the_answer_stays(lines: int) -> None:
    def run(_argv: object) -> int:
        say(*["different"] * lines)
        return 1

    with unread(), pytest.raises(SystemExit) as ended:
        finish(run, [])
    assert ended.value.code == 1


def test_a_comparison_that_nobody_reads_is_made_all_the_same(tmp_path: Path) -> None:
    small = ["scheduler=[]", "model=llama3_1_8b", "hardware.nodes=1", "parallel=tp8", "~expect"]
    old, new = (compile_plan([*small, more]).write(tmp_path, name) for more, name in (("name=a", "a"), ("workload.output_length=7", "b")))  # fmt: skip
    with unread(), pytest.raises(SystemExit) as ended:
        command.main([str(old), str(new)])
    assert ended.value.code == 1
