"""Run cases of `tests.fuzz_cases`, each in a process of its own with limits, and hold them against the contract.

`python -m tests.fuzz --cases 20000 --seed 7` prints the counts by kind and every case that broke it; `--only 7:1234` runs one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from compiler import compile_plan
from compiler.rankplan import WORDS
from tests.command import ROOT, tree
from tests.fuzz_cases import KINDS, Case, case
from tests.fuzz_files import GOLDEN, PIPE, PLAN

CPU_S = 10
PATIENCE_S = 120
"""Of a case on a busy machine; one that waits for ever uses no processor."""
MEMORY_BYTES = 2 * 2**30
LONGEST = 2000


@dataclass(frozen=True)
class Outcome:
    """What a case did: `status` is the exit code, or minus the signal; `new` are paths that were not there before."""

    status: int
    out: str
    err: str
    cpu_s: float
    memory_bytes: int
    new: tuple[str, ...]


def run(case: Case, folder: Path, *, program: bool = False) -> Outcome:
    """Lay the files out in `folder`, which is empty, and run the case there."""
    for name, data in case.files.items():
        if name.startswith(f"{PLAN}/") and not (folder / PLAN).exists():
            shutil.copytree(GOLDEN, folder / PLAN)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data == PIPE:
            path.unlink(missing_ok=True)
            os.mkfifo(path)
        else:
            path.write_bytes(data)
    for place in ("tmp", "said"):
        (folder / place).mkdir()
    before = _paths(folder)
    start = _program if program else _forked
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    status, used = start(case.program, case.args, folder)
    new = tuple(sorted(_paths(folder) - before))
    out, err = ((folder / "said" / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
    # The peak of a child starts at what its parent holds, which may be all that other tests have read.
    grown = max(used.ru_maxrss * 1024 - held, 0)
    return Outcome(status, out, err, used.ru_utime + used.ru_stime, grown, new)


def _paths(folder: Path) -> set[str]:
    """Files and folders, those of a plan's inside left out."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")} - {"said/out", "said/err"}
    plans = {path for path in found if f"{path}/manifest.json" in found}
    return {path for path in found if not any(path.startswith(f"{plan}/") for plan in plans)}


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (3 * CPU_S, 3 * CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (3 * MEMORY_BYTES, 3 * MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(PATIENCE_S)


def _forked(program: str, args: Sequence[str], folder: Path) -> tuple[int, resource.struct_rusage]:
    """In a fork of this process, which has imported everything already."""
    main = importlib.import_module(WORDS.get(program.partition(".")[2], "compiler.cli")).main
    _warm()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.chdir(folder)
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
            for number, name in ((0, os.devnull), (1, "said/out"), (2, "said/err")):
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
            sys.stdout, sys.stderr = _text(1), _text(2)
            sys.argv = [program]
            _limit()
            main(args)
        except SystemExit as stop:
            status = int(stop.code or 0)
        except BaseException:  # noqa: BLE001 - a traceback is what is looked for
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used


def _text(number: int) -> TextIO:
    return os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace")


@cache
def _warm() -> None:
    """Import what every case needs, once."""
    compile_plan(["scheduler=[slurm,kubernetes_job]"])
    for name in ("compiler.sweep", "compiler.console", "compiler.render.folder"):
        importlib.import_module(name)


def _program(program: str, args: Sequence[str], folder: Path) -> tuple[int, resource.struct_rusage]:
    """As the user starts it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}
    with (folder / "said/out").open("wb") as out, (folder / "said/err").open("wb") as err:
        started = subprocess.Popen(
            [sys.executable, "-m", program, *args],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            preexec_fn=_limit,  # noqa: PLW1509 - one thread
        )
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    return started.returncode, used


def wrong(case: Case, did: Outcome, folder: Path) -> Iterator[str]:
    """Everything in which an outcome breaks the contract."""
    # A sweep with failures, a plan that differs from its framework, and an edited one are findings and end with 1.
    finds = "plans in" in did.out or case.program.endswith(("prove", "show", "check", "diff"))
    compares = did.status == 0 and case.program.endswith("diff") and did.err.startswith("warning: ")
    found = compares or (did.status == 1 and "Traceback" not in did.err and finds)
    if did.status not in (0, 2, 3, 4) and not found:
        yield f"exit {did.status}: {did.err[-400:]}"
    yield from _said(did, found)
    if did.cpu_s > CPU_S:
        yield f"{did.cpu_s:.0f} s of CPU"
    if did.memory_bytes > MEMORY_BYTES:
        yield f"{did.memory_bytes / 2**30:.1f} GiB"
    if stray := [path for path in did.new if did.status in (2, 3, 4) or path.startswith("tmp/")]:
        yield f"left behind: {stray[:5]}"
    plans = [folder / path for path in did.new if (folder / path / "plan.json").is_file()]
    if did.status == 0 and case.kind not in ("sweep", "plan_folder"):
        for plan in plans:
            yield from _written(plan)


def _said(did: Outcome, found: bool) -> Iterator[str]:
    """What is wrong with what was printed. Files on a terminal end lines with line feeds alone."""
    errors, lines = did.err.split("\n")[:-1], did.out.split("\n")
    kinds = "(error|warning)" if found else "error"
    if (did.status == 0) != (not errors) and not found:
        yield f"exit {did.status} with {len(errors)} lines of errors: {did.err[:400]}"
    if bad := next((line for line in errors if not re.fullmatch(f"{kinds}: .+ ; .+", line)), None):
        yield f"not an error line: {bad[:300]!r}"
    for line in (*errors, *lines):
        if not line.isprintable():
            yield f"a control character: {line[:300]!r}"
        if len(line) >= LONGEST and line.startswith(("error: ", "warning: ")):
            yield f"a line of {len(line)} characters: {line[:100]}"


def _written(plan: Path) -> Iterator[str]:
    """What is absurd in a plan folder."""
    values = json.loads((plan / "plan.json").read_text())
    for path, number in _numbers(values):
        if not math.isfinite(number) or number < 0:
            yield f"plan.json has {path}={number}"
            break
    for line in (plan / "report.md").read_text().splitlines():
        if found := re.search(r"\| *(-\d[^|]*|-?inf\b[^|]*|nan\b[^|]*)\|", line):
            yield f"report.md has {found[1]} in {line[:200]}"
            break
    with tempfile.TemporaryDirectory() as scratch:
        again = Path(scratch)
        did = run(Case("again", ("--config-dir", str(plan), "--config-name", "config", "out=again")), again)
        plans = list(again.glob("again/*/plan.json"))
        if did.status != 0 or len(plans) != 1:
            yield f"config.yaml does not compile, exit {did.status}: {did.err[:300]}"
        elif (first := tree(plan)) != (second := tree(plans[0].parent)):
            yield f"config.yaml gives other bytes: {sorted(set(first.items()) ^ set(second.items()))[:3]}"


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _numbers(entry, f"{path}.{key}")
    elif isinstance(value, list):
        for entry in value:
            yield from _numbers(entry, path)
    elif isinstance(value, (int, float)):
        yield path, value


def tried(
    seed: int, number: int, kinds: tuple[str, ...] = (), *, program: bool = False
) -> tuple[Case, Outcome, list[str]]:
    """Make a case, run it and judge it."""
    made = case(seed, number, kinds)
    with tempfile.TemporaryDirectory(prefix="rankplan-fuzz-") as scratch:
        folder = Path(scratch) / "here"  # whose parent is ours too: a case may name it
        folder.mkdir()
        did = run(made, folder, program=program)
        return made, did, list(wrong(made, did, folder))


def main(argv: Sequence[str] | None = None) -> int:
    """Print counts by kind and every case that broke the contract; 1 where one did."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", default=[], choices=list(KINDS), help="these alone, in turn")
    parser.add_argument(
        "--program", type=int, default=50, help="each so manieth case starts a program of its own; 0 for none"
    )
    parser.add_argument("--only", metavar="SEED:NUMBER", help="one case, with all that it said")
    args = parser.parse_args(argv)
    kinds = tuple(args.kinds)
    if args.only:
        seed, number = map(int, args.only.split(":"))
        made, did, found = tried(seed, number, kinds, program=True)
        return 1 if found else 0
    counts: Counter[tuple[str, int]] = Counter()
    broken: Counter[str] = Counter()
    with contextlib.suppress(KeyboardInterrupt):  # what was counted so far is printed
        for number in range(args.first, args.first + args.cases):
            made, did, found = tried(args.seed, number, kinds, program=args.program > 0 and number % args.program == 0)
            counts[made.kind, did.status] += 1
            if found:
                broken[made.kind] += 1
                print(f"--- {args.seed}:{number} {made.kind}: {command(made)}", *found, sep="\n    ", flush=True)
    for kind in kinds or KINDS:
        row = ", ".join(f"exit {code}: {count}" for (name, code), count in sorted(counts.items()) if name == kind)
        print(f"{kind}: {row}; {broken[kind]} broke the contract")
    print(f"{broken.total()} of {counts.total()} cases of seed {args.seed} broke the contract")
    return 1 if broken else 0


def command(made: Case) -> str:
    """A case as a line, long values shortened."""
    words = (word if len(word) <= 80 else f"{word[:60]}...({len(word)})" for word in made.args)
    return f"{made.program} {shlex.join(words)}".encode("unicode_escape").decode()


if __name__ == "__main__":
    sys.exit(main())
