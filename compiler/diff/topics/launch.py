"""What starts the plan: directives, objects, commands, variables and counts, by what they mean and not by their lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from compiler.diff.launch_files import ARGUMENTS, LAUNCH, anonymous, is_name, meaning, names, program
from compiler.diff.side import Side
from compiler.diff.topic import MISSING, Missing, Topic, differing, sides
from compiler.diff.verdict import Change, Verdict, change
from compiler.errors import short

FOLDERS = ("framework", "kubernetes", "local", "runtime", "slurm")
IDLE = r"#SBATCH --(job-name|comment|time|output|error|account|qos|mail-type|mail-user)\b.*|.*\.activeDeadlineSeconds"
"""What is written of a job that no process of it meets: names, logs, who pays, and when it is stopped."""

NESTING = r"\b(spec|template)\.|\.value$"
"""What a path in a manifest is read better without."""


def changes(old: Side, new: Side) -> Iterator[Change]:
    """A change for each value, however many files have it; and one for programs that differ where no value does."""
    found = list(_folded(_values(old, new)))
    yield from found
    yield from _programs(old, new)
    if all(change.verdict is Verdict.COSMETIC for change in found):
        yield from _scripts(old, new)


def launched(file: str) -> bool:
    """Whether a file takes part in a launch."""
    folders = file.split("/")[:-1]
    return any(folder in FOLDERS for folder in folders)


def _values(old: Side, new: Side) -> Iterator[tuple[str, str, Any, Any]]:
    """File, path in it, and both values, where they mean something else."""
    own = names(old), names(new)
    for file, one, other in differing(_launched(old), _launched(new)):
        if one is Missing or other is Missing:
            if not file.endswith(".py"):
                yield file, "", Missing if one is Missing else "a file", Missing if other is Missing else "a file"
            continue
        pairs = differing(meaning(old, file), meaning(new, file))
        for path, before, after in pairs:
            if not is_name(path) and anonymous(before, own[0]) != anonymous(after, own[1]):
                yield file, path, before, after


def _launched(side: Side) -> dict[str, str | None]:
    """Files of a launch; those that say what launch.json says only where it is not there."""
    return {
        file: digest
        for file, digest in side.files.items()
        if launched(file) and not (file.endswith(ARGUMENTS) and file.rpartition("framework/")[0] + LAUNCH in side.files)
    }


def _folded(rows: Iterable[tuple[str, str, Any, Any]]) -> Iterator[Change]:
    """Rows that say the same of a name are one, in the words of the first."""
    places: dict[tuple[str, str, str, Verdict], list[str]] = {}
    for file, path, before, after in rows:
        verdict = Verdict.COSMETIC if re.fullmatch(IDLE, path) else Verdict.RESTART
        place = (_leaf(path or file), *sides(before, after), verdict)
        places.setdefault(place, []).append(f"{file} {re.sub(NESTING, '', path)}".strip())
    for (_, before, after, verdict), found in places.items():
        yield Change("launch", found[0] + f" ({len(found)} places)" * (len(found) > 1), before, after, verdict)


def _leaf(path: str) -> str:
    """What a value is called: of `Job.spec.containers.ranks.env.A.value` A, of `#SBATCH --nodes` nodes."""
    words = re.split(r"[. ]", re.sub(r" of component \d+$", "", path))
    return next((word.lstrip("-") for word in reversed(words) if word != "value"), path)


def _programs(old: Side, new: Side) -> Iterator[Change]:
    """Programs that another release of rankplan, or somebody's hand, wrote."""
    pairs = differing(*({file: side.files[file] for file in side.files if file.endswith(".py")} for side in (old, new)))
    files = [file for file, _, _ in pairs]
    if files:
        what = f"{len(files)} programs that start the ranks" if len(files) > 1 else files[0]
        yield Change("launch", what, "as they were", f"another text: {short(', '.join(files))}", Verdict.RESTART)


def _scripts(old: Side, new: Side) -> Iterator[Change]:
    """The first line that does something else in a script, or in a file whose form is not known."""
    own = names(old), names(new)
    for file, one, other in differing(_launched(old), _launched(new)):
        if Missing in (one, other) or file.endswith(".py") or (meaning(old, file) and not file.endswith(".sbatch")):
            continue
        for lines in zip_longest(*(program(side.text(file)) for side in (old, new)), fillvalue=MISSING):
            if lines[0] != lines[1] and anonymous(lines[0], own[0]) != anonymous(lines[1], own[1]):
                yield change("launch", f"{file}, a line of its program", map(short, lines), Verdict.RESTART)
                break


TOPIC = Topic("launch", 6, "launch", changes)
