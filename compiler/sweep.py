"""Many plans from one command: each job compiled and written on its own, failures collected, one summary."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import field, replace
from itertools import islice, product
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, Sweep
from omegaconf import DictConfig, OmegaConf

from compiler.config.compose import compose, normalised, parsed
from compiler.config.exposed import in_override
from compiler.config.grammar import NAME
from compiler.config.hydra_app import start
from compiler.config.keys import check_keys, check_missing
from compiler.config.load import load_config, to_config
from compiler.config.messages import translated
from compiler.config.sealed import sealed
from compiler.config.settings import typed
from compiler.console import Progress
from compiler.errors import CompilerError, ConfigError, Problem, WriteError, short
from compiler.fixes import Budget, tried
from compiler.frozen import dataclass
from compiler.launchers import Launcher
from compiler.naming import default_name, digest, job_name, words
from compiler.nearest import one_of
from compiler.pools import compile_any
from compiler.specs.config import Config
from compiler.sweep_summary import MARK, SUMMARY, finish

TRIES = 1200
"""What fixes of all failing jobs may take, in looks at the declared rules: some seconds. Later jobs get theirs as prose."""
MOST_JOBS = 10_000
"""Of a sweep: each is a plan, compiled and written."""
ROW, JOINED = "row-{}.json", " | "
"""The file of a job's row, and what stands between its problems there."""


def sweep(overrides: Sequence[str], config_dir: str | None, config_name: str | None, *, json: bool = False) -> int:
    """Compile every job and write the summary; 1 where a job failed. Raises ConfigError before any job is run."""
    given = normalised(overrides)
    items = parsed(given, config_dir, config_name)
    with translated():
        choices = [_choices(item) for item in items]
    jobs = math.prod(map(len, choices))
    if not 0 < jobs <= MOST_JOBS:
        many = f"more than {MOST_JOBS:,}" if jobs else "no"
        raise ConfigError.of(f"the sweep has {many} jobs", f"write values for 1 to {MOST_JOBS:,}")
    swept = tuple(item.get_key_element() for item in items if item.is_sweep_override())
    if exposed := [problem for choice in choices for override in choice for problem in in_override(override)]:
        raise ConfigError(dict.fromkeys(exposed))  # the names of folders and the summary would show them
    if unknown := [problem for choice in choices for override in choice for problem in _unknown(override)]:
        raise ConfigError(dict.fromkeys(unknown))
    default, spelt = default_name(given), words(zip(items, choices, strict=True))
    out = _refuse(swept, [choice[0] for choice in choices], default, config_dir, config_name)
    launcher = Launcher.of(given)
    with Progress(jobs) as progress:
        rows = _run(given, Task(swept, default, progress, config_dir, config_name, shown=spelt), launcher, out)
        if launcher is not None or not rows:  # a file may have chosen one
            rows = (launcher or Launcher("NAME")).told(
                rows, [_told(item for item in job if _key(item) in swept) for job in product(*choices)]
            )
            for row in rows:  # what jobs say themselves is in the launcher's logs
                if row["status"] != "ok":
                    progress.failed(row["overrides"], map(_problem, row["message"].split(JOINED)))
    return finish(rows, as_json=json)


def _run(given: Sequence[str], task: Task, launcher: Launcher | None, out: str) -> list[dict[str, Any]]:
    """A row of each job that Hydra ran, in their order: files of a folder of our own, wherever the user has Hydra's put."""
    scratch = launcher.scratch(out) if launcher else tempfile.mkdtemp(prefix="rankplan-sweep-")
    task = replace(task, rows=scratch)
    place = scratch.replace("'", r"\'")
    own = [f"hydra.sweep.dir='{place}'", "hydra.sweep.subdir=."]
    try:
        with launcher or nullcontext():
            start(task, ["-m"], [*own, *given], task.config_dir, task.config_name)
        rows = [json.loads(path.read_text()) for path in Path(scratch).glob(ROW.format("*"))]
    finally:
        for path in Path(scratch).glob(ROW.format("*")):
            path.unlink()
        if launcher is None:
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            launcher.left(scratch)
    return sorted(rows, key=lambda row: int(row["number"]))


def _problem(said: str) -> Problem:
    """What a row says of one problem, taken apart again."""
    what, _, instead = said.partition(" ; ")
    return Problem(what, instead)


def _told(changed: Iterable[str]) -> str:
    return " ".join(item.lstrip("+") for item in changed)


def _choices(item: Override) -> list[str]:
    """An override as Hydra's sweeper spells it, once for each of its values."""
    key = item.get_key_element()
    if any(isinstance(entry, Sweep) for entry in getattr(item._value, "list", None) or ()):  # noqa: SLF001 - value() converts
        raise ConfigError.of(f"{item.input_line} sweeps within a sweep", "write each value by itself, as in a,b,c")
    if item.is_discrete_sweep():
        return [f"{key}={value}" for value in islice(item.sweep_string_iterator(), MOST_JOBS + 1)]
    if item.is_sweep_override():
        raise ConfigError.of(f"{item.input_line} has no values to try one by one", "write range(1,9,2), or a,b,c")
    return [f"{key}={'' if item.is_delete() else item.get_value_element_as_str()}"]


def _unknown(override: str) -> Iterator[Problem]:
    """A word that is none of those that its setting knows."""
    key, _, value = override.partition("=")
    options, word = typed(key.lstrip("+"))[1].options, value.strip("'\"")
    if options and word not in (*options, "null") and not word.startswith(("$", "[", "{")):
        yield Problem(f"{key}={short(word)} is not a known value", one_of(word, options))


def _key(override: str) -> str:
    return override.split("=", 1)[0]


@sealed()
def _refuse(
    swept: Sequence[str], first: Sequence[str], default: str, config_dir: str | None, config_name: str | None
) -> str:
    """The value of `out`. Raises ConfigError for what would be wrong in every job (a misspelt key, a sweep in several folders), and WriteError."""
    places = [key for key in swept if key in ("out", "sweep")]
    if places:
        raise ConfigError.of(f"{places[0]} has several values", "write one: a sweep is one folder")
    cfg = compose([item.removesuffix("=") if item.startswith("~") else item for item in first], config_dir, config_name)
    with translated():
        OmegaConf.set_struct(cfg, value=False)
        check_keys(cfg)
        check_missing(cfg, "out", "sweep")
        out, sweep = cfg.out, cfg.sweep or default
    if not (out and NAME.fullmatch(sweep)):
        raise ConfigError.of(f"out={out} sweep={sweep} cannot name a sweep's folder", "write sweep=NAME")
    _refuse_place(_folder(out, sweep) / SUMMARY)
    return str(out)


def _folder(out: str, name: str) -> Path:
    return Path(out) / "sweeps" / name


def _refuse_place(summary: Path) -> None:
    """Raises WriteError where somebody's own file is in the summary's place."""
    try:
        if not os.path.lexists(summary) or (summary.is_file() and _is_summary(summary)):
            return
    except OSError as error:
        raise WriteError.of(f"{summary} cannot be read: {error.strerror}", "write sweep=NAME or out=FOLDER") from error
    raise WriteError.of(
        f"{summary} is no summary of a sweep, and would be replaced", "write another sweep=NAME, or move it away"
    )


def _is_summary(path: Path) -> bool:
    """Whether a file begins as a summary does, or is empty."""
    with path.open("rb") as file:
        return file.read(len(MARK)) in (MARK, b"")


@dataclass(frozen=True)
class Task:
    """What Hydra runs for each job: compile, write, and leave one row of the summary; it never raises.

    `rows`: the folder that they are left in, a file each.
    """

    swept: tuple[str, ...]
    default_sweep: str
    progress: Progress
    config_dir: str | None = None
    config_name: str | None = None
    rows: str = "."
    seen: dict[str, Config] = field(default_factory=dict)
    budget: Budget = field(default_factory=lambda: Budget(TRIES))
    shown: Mapping[str, str] = field(default_factory=dict)
    place: str = field(default_factory=os.getcwd)

    def __call__(self, cfg: DictConfig) -> None:
        os.chdir(self.place)  # a launcher starts its processes anywhere
        hydra = HydraConfig.get()
        overrides = [str(item) for item in hydra.overrides.task]
        changed = [item for item in overrides if _key(item) in self.swept]
        row: dict[str, Any] = {"number": int(hydra.job.num), "job": "", "message": ""}
        row["overrides"] = _told(changed)
        config = None
        try:
            row["folder"] = str(_folder(cfg.out, cfg.sweep or self.default_sweep))
            config = to_config(cfg, overrides, self.config_dir)
            row["page"] = config.report.html
            if config.search.auto:
                self._search(config, overrides, changed, row)
            else:
                row |= self.named(config, changed)
                compile_any(config).write(Path(row["folder"]), row["job"])
            row["status"] = "ok"
        except CompilerError as raised:
            searched = config is not None and config.search.auto  # its errors say what would fit
            error = raised if searched else tried(raised, config, overrides, self._load, self.budget)
            row |= {"status": str(error.exit_code), "message": JOINED.join(map(str, error.problems))}
            self.progress.failed(row["overrides"], error.problems)
        except Exception as error:  # noqa: BLE001 - a bug in one plan must not take the others with it
            row |= {"status": "1", "message": f"bug: {type(error).__name__}: {error}"}
            traceback.print_exc()
        self.progress.advance()
        path = Path(self.rows, ROW.format(row["number"]))
        whole = path.with_suffix(".part")
        whole.write_text(json.dumps(row))
        whole.replace(path)  # who looks for rows finds none that is half written

    def _search(self, config: Config, overrides: Sequence[str], changed: Sequence[str], row: dict[str, Any]) -> None:
        """A job that is a search: its best plan among the plans of the sweep, and the search among searches."""
        from compiler.searches.find import searched
        from compiler.searches.write import write_search

        found = searched(config, overrides, self._load)
        row |= self.named(found.best.config, changed)
        found.best.write(Path(row["folder"]), row["job"])
        name = config.search.name
        if name is not None and "search.name" not in self.swept:  # a name for all of them
            name = f"{name[:91]}-{digest(' '.join(changed))}"
        write_search(replace(found, name=name or default_name(overrides)), config.out)

    def _load(self, overrides: Sequence[str]) -> Config:
        return load_config(overrides, self.config_dir, self.config_name)

    def named(self, config: Config, changed: Sequence[str]) -> dict[str, str]:
        """The job's folder, and which plan is in it."""
        return {"job": self.folder_name(config, changed), "plan": digest(repr(config))}

    def folder_name(self, config: Config, changed: Sequence[str]) -> str:
        """The job's name; where another plan has it already (two files that call themselves the same), a hash is added."""
        name = job_name(config, changed, self.shown)
        if self.seen.setdefault(name, config) == config:
            return name
        return f"{name[:91]}-{digest(' '.join(changed))}"
