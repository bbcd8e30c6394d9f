"""Hydra's launchers, which run a sweep's jobs in other processes: where rows of these are left, and what is said of jobs that leave none."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from compiler.errors import CompilerError, ConfigError, Problem, WriteError, line

OPTION = "hydra/launcher="
LOST = "wait for jobs that still run, give jobs more by hydra.launcher.KEY=..., keep their logs by hydra.sweep.dir=FOLDER, or leave hydra/launcher out"
HYDRAS = "multirun.yaml"
"""What Hydra leaves in the folder of a sweep."""

NONE_RUN = "sbatch: error"
INSTEAD = (
    ("object_store_memory must not be provided", "add +hydra.launcher.ray.init.object_store_memory=null"),
    (NONE_RUN, "mend hydra.launcher.KEY=... (partition, account, timeout_min, mem_gb and the like)"),
    ("No such file or directory", "sweep in a folder that all nodes share"),
    ("", LOST),
)
"""What is in a launcher's words -> what to write."""


class Launcher:
    """One that was asked for. As a context it keeps the failure of the launcher, so that the plans of jobs that ended are told of."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure, self.failed = "the job left no answer", False
        self.made = False

    @classmethod
    def of(cls, overrides: Sequence[str]) -> Self | None:
        """None where jobs run in this process, one after the other."""
        names = [item.removeprefix(OPTION) for item in overrides if item.startswith(OPTION)]
        return cls(names[-1]) if names and names[-1] != "basic" else None

    def scratch(self, out: str) -> str:
        """A folder for rows and the launcher's own files, beside the plans: a place that all processes must reach."""
        place = Path(out).absolute()
        self.made = not place.exists()
        try:
            place.mkdir(parents=True, exist_ok=True)
            return tempfile.mkdtemp(prefix=".sweep-", dir=place)
        except OSError as error:
            raise WriteError.of(f"{place} cannot be written: {error.strerror}", "write out=FOLDER") from error

    def left(self, scratch: str) -> None:
        """Nothing, not even an empty folder for plans; but all that it was where jobs may still run, whose files are there."""
        own = any(path.name != HYDRAS for path in Path(scratch).iterdir())
        if self.failed and NONE_RUN not in self.failure and own:
            return
        shutil.rmtree(scratch, ignore_errors=True)
        if self.made:
            with suppress(OSError):  # it holds something
                Path(scratch).parent.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or not _is_launchers(error):
            return False
        said = " ".join(item.what for item in error.problems) if isinstance(error, CompilerError) else str(error)
        self.failure, self.failed = line(said or type(error).__name__, 900), True
        return True

    def told(self, rows: Sequence[dict[str, Any]], jobs: Sequence[str]) -> list[dict[str, Any]]:
        """A row of each job, by its swept overrides: of one that left none it says why. Raises ConfigError where none did."""
        lost = Problem(
            f"{OPTION}{self.name}: {self.failure}", next(fix for said, fix in INSTEAD if said in self.failure)
        )
        if not rows:
            raise ConfigError([lost])
        found = {int(row["number"]): row for row in rows}
        missing = {"job": "", "status": "1", "message": str(lost)}
        whole = [found.get(at, {"number": at, "overrides": job} | missing) for at, job in enumerate(jobs)]
        return list(_apart(whole))


def _is_launchers(error: BaseException) -> bool:
    """Whether it, or what it came from, was raised inside a plugin of Hydra."""
    trace = error.__traceback__
    while trace is not None:
        if "hydra_plugins" in Path(trace.tb_frame.f_code.co_filename).parts:
            return True
        trace = trace.tb_next
    return error.__cause__ is not None and _is_launchers(error.__cause__)


def _apart(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Jobs elsewhere do not know each other's names: where two plans that differ have the same, one is in the other's place."""
    plans = defaultdict(set)
    for row in rows:
        if row["status"] == "ok":
            plans[row["job"]].add(row.get("plan"))
    for row in rows:
        if row["status"] == "ok" and len(plans[row["job"]]) > 1:
            what = f"{row['job']}: another job's plan has this name, and one of them is in the other's place"
            fix = "give them other names in their files, or leave hydra/launcher out"
            yield {**row, "status": "2", "message": str(Problem(what, fix))}
        else:
            yield row
