"""Pages whose commands are run: what stands in them is what comes out.

A fence `console` holds lines `$ command` with what each prints, `python` code, and a `text` after it what that prints; `...` ends an
output of which only the beginning stands there. A fence with a path after its language is a file. All of a page runs in one folder.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler import rankplan

DOCS = Path(__file__).parents[1] / "docs"
RUN = (
    "interface.md",
    "how-a-second-is-computed.md",
    "search.md",
    *sorted(f"tutorials/{path.name}" for path in (DOCS / "tutorials").glob("*.md")),
)
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", re.MULTILINE)
"""A command, over several lines where these end in a backslash, and the lines behind it."""
MORE = "...\n"


@dataclass
class Run:
    """A page that is run in a folder."""

    folder: Path
    names: dict[str, Any]
    printed: str = ""

    def block(self, kind: str, path: str | None, text: str) -> str:
        """What the block would be, had it been written now."""
        if path:
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        elif kind == "console":
            return "".join(self._commands(text))
        elif kind == "python":
            self.printed = self._captured(lambda: exec(compile(text, "page", "exec"), self.names))
        elif kind == "text":
            return like(text, self.printed)
        return text

    def _commands(self, text: str) -> Iterator[str]:
        for command, shown in COMMAND.findall(text):
            yield f"$ {command}{like(shown, self._captured(lambda said=command: self._command(said)))}"

    def _command(self, said: str) -> None:
        python, module, name, *args = shlex.split(said.replace("\\\n", " "))
        assert (python, module) == ("python", "-m"), said
        word = name.removeprefix("compiler").removeprefix(".")
        with contextlib.suppress(SystemExit):
            rankplan.main([word, *args] if word else args)

    def _captured(self, call: Any) -> str:
        out = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            call()
        return out.getvalue()


def like(before: str, now: str) -> str:
    """An output of now, as much of it as stood there before."""
    if not before.endswith(MORE):
        return now
    kept = before.count("\n") - 1
    return "".join(now.splitlines(keepends=True)[:kept]) + MORE


def current(page: str, folder: Path) -> str:
    """A page as it would be, had it been written now."""
    run = Run(folder, {})

    def again(match: re.Match[str]) -> str:
        kind, path, text = match.groups()
        return f"```{kind}{f' {path}' if path else ''}\n{run.block(kind, path, text)}```"

    return FENCE.sub(again, (DOCS / page).read_text())
