"""The command line for tests: in this process where many cases are tried, as a program where processes matter."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from compiler import cli
from compiler.specs.degrees import Parallel, parse

ROOT = Path(__file__).parents[1]
STRATEGY = "moe_30b_ep16_tp4_pp4_dp4"
BARE = "scheduler=[]"


@dataclass(frozen=True)
class Ran:
    """An exit code and what was said."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return self.err.splitlines()


def program(*args: str, cwd: Path, **environment: str) -> Ran:
    """`python -m compiler` as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "compiler", *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def call(*args: str, cwd: Path) -> Ran:
    """The same in this process; a traceback is the test's failure."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main(args)
        except SystemExit as stop:
            return Ran(int(stop.code or 0), out.getvalue(), err.getvalue())


def tree(folder: Path) -> dict[str, str]:
    """Path -> sha256 of every file, and every folder and link, hidden ones too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = "link" if path.is_symlink() else "folder" if path.is_dir() else None
        found[str(path.relative_to(folder))] = content or hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def degrees_of(name: str) -> Parallel:
    """What `parallel=<name>` writes."""
    values: dict[str, Any] = dict(parse(name))
    return Parallel(**values)


def whole(folder: Path) -> bool:
    """Whether the manifest names exactly the other files of a plan folder, with their hashes."""
    files = {path: digest for path, digest in tree(folder).items() if digest != "folder"}
    files.pop("manifest.json")
    return bool(json.loads((folder / "manifest.json").read_text())["files"] == files)


def refused(cwd: Path, *args: str, code: int) -> Ran:
    """Run, and hold the contract of every refusal."""
    before = tree(cwd)
    ran = call(*args, cwd=cwd)
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert ran.errors
    for line in ran.errors:
        assert re.fullmatch(r"error: .+ ; .+", line), line
        assert "object at 0x" not in line
        assert "hydra.cc" not in line
    assert tree(cwd) == before
    return ran
