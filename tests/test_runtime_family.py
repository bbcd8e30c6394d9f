"""Nothing that a rank started outlives its node's starter, however ranks or the starter end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.plans import plan, write
from tests.processes import alive, none_left
from tests.slurm_cluster import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")

GRACE_S = 2
DEAF = "while true; do sleep 0.2; done"
CHILDREN = f"sleep 600 & setsid sleep 600 & (trap '' TERM; {DEAF}) & (setsid bash -c \"trap '' TERM; {DEAF}\" &) ;"


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """A text in the environment of all that a test starts; what is left after a failure is killed."""
    yield f"RANKPLAN_PLAN={tmp_path}"
    for pid in alive(f"RANKPLAN_PLAN={tmp_path}"):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(tmp_path: Path, mark: str) -> Iterator[Start]:
    """Starts two ranks of bash, and waits until both are through their script."""
    with ExitStack() as pipes:

        def spawn(script: str, **environment: str) -> subprocess.Popen[str]:
            write(plan(1, 2, command=["bash", "-c", f'{script} touch "$RANKPLAN_PLAN/ready.$RANK"; wait']), tmp_path)
            known = {"NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1234", "PATH": "/usr/bin:/bin"}
            known |= {"RANKPLAN_PLAN": str(tmp_path), "RANKPLAN_GRACE_S": str(GRACE_S), **environment}
            command = [sys.executable, "-I", "-S", str(tmp_path / "runtime" / "spawn.py")]
            process = subprocess.Popen(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for pipe in (process.stdout, process.stderr):
                assert pipe
                pipes.callback(pipe.close)
            until(lambda: process.poll() is not None or len(list(tmp_path.glob("ready.*"))) == 2, "two ranks", 30)
            return process

        yield spawn


@pytest.mark.parametrize("code", [0, 7])
def test_children_end_with_the_last_rank(start: Start, mark: str, code: int) -> None:
    script = f'{CHILDREN} [ "$RANK" = 0 ] || exit {code}; exit 0;'
    process = start(script)
    assert process.wait(timeout=30) == code
    none_left(mark, 0.25)


@pytest.mark.parametrize("code", [0, 7])
def test_a_child_has_its_grace_time_to_end(tmp_path: Path, start: Start, mark: str, code: int) -> None:
    script = "bash -c 'trap \"sleep 0.5; touch $RANKPLAN_PLAN/saved; exit\" TERM; touch $RANKPLAN_PLAN/up; sleep 600 & wait' &"
    script += ' while [ ! -e "$RANKPLAN_PLAN/up" ]; do sleep 0.1; done; '
    script += f"exit {code};"
    assert start(script).wait(timeout=30) == code
    assert (tmp_path / "saved").exists()
    none_left(mark, 0.25)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_ends_ranks_that_do_not_listen(start: Start, mark: str, number: int) -> None:
    process = start(f"trap '' TERM INT HUP; {CHILDREN}")
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=30) == 137
    assert GRACE_S - 0.5 < time.monotonic() - began < GRACE_S + 10
    none_left(mark, 0.25)


def starters(process: subprocess.Popen[str]) -> list[int]:
    """The starter's processes: the one that was called, and the one within."""
    within = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [process.pid, *map(int, within)]


@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_starter_takes_all_with_it(start: Start, mark: str, which: int) -> None:
    process = start(f"trap '' TERM INT HUP; {CHILDREN}")
    os.kill(starters(process)[which], signal.SIGKILL)
    assert process.wait(timeout=30) == (-9 if which == 0 else 137)
    none_left(mark, 2)


def test_a_killed_rank_takes_its_children_with_it(start: Start, mark: str) -> None:
    process = start(CHILDREN)
    rank = next(pid for pid, text in alive(mark).items() if "touch" in text and "RANK=1\0" in environ(pid))
    os.kill(rank, signal.SIGKILL)
    assert process.wait(timeout=30) == 137
    none_left(mark, 0.25)


def environ(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


@pytest.mark.parametrize("value", ["30s", "-1", "", "1e3", "²", "9" * 20, "5\n"])
def test_a_bad_grace_time_is_refused_before_anything_starts(tmp_path: Path, start: Start, value: str) -> None:
    process = start("", RANKPLAN_GRACE_S=value)
    assert process.communicate(timeout=30)[1].startswith(
        "rankplan: ranks cannot be started: RANKPLAN_GRACE_S: expected "
    )
    assert process.returncode == 64
    assert not list(tmp_path.glob("ready.*"))


def test_ranks_outlive_the_reader_of_their_output(start: Start, mark: str) -> None:
    """Whoever reads a pipe may end: `spawn.py --all | head -1`."""
    write_much = "for ((i = 0; i < 20000; i++)); do echo $i; echo $i >&2; done"
    process = start(f"trap '{write_much}; exit 7' USR1; sleep 600 &")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stderr.close()
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=30) == 7
    none_left(mark, 0.25)


def test_a_guard_that_ends_before_it_is_heard_of(tmp_path: Path) -> None:
    """The parent may have ended before the child asks for its end's signal."""
    from compiler.runtime import family

    pid = os.fork()
    if pid == 0:
        family.tie(1, signal.SIGKILL)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
