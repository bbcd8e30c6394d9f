"""A second process around one that starts others: what was started ends with either, even where one is killed.

The outer process hands signals on and its ends up; it also takes the output on, so that nobody dies because the reader of
a pipe has gone. Standard library only, Python 3.6 syntax.
"""

import contextlib
import os
import select
import signal
import stat
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Callable, Dict, List, Set, Tuple

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import family, planned
else:
    import family
    import planned

FLUSH_S = 5
"""Longest wait for a reader that reads no more."""


def guarded(work: Callable[[int], int], mask: Set[int]) -> Tuple[int, bool]:
    """Exit code of `work`, which runs in a process of its own and is given the guard's, and whether this was told to stop."""
    around = family.Family(0, mask)
    here, pipes = os.getpid(), [(os.pipe(), numbers) for numbers in piped()]
    pid = os.fork()
    if pid == 0:
        for (_, sink), numbers in pipes:
            for number in numbers:
                os.dup2(sink, number)
        work_alone(work, here)
    threads = []
    for (source, sink), numbers in pipes:
        os.close(sink)
        threads.append(threading.Thread(target=pass_on, args=(source, numbers[0]), daemon=True))
        threads[-1].start()
    code, stopped = hand_on(around, pid)
    around.kill()  # where it could not do that itself
    for thread in threads:
        thread.join(FLUSH_S)
    return code, stopped


def work_alone(work: Callable[[int], int], guard: int) -> None:
    """In the new process: do the work and end with its code. Its session keeps a terminal's signals out: they come twice."""
    code = 1
    try:
        os.setsid()
        family.tie(guard, signal.SIGTERM)
        code = work(guard)
    except BaseException:  # noqa: BLE001 - a bug, which must not go on as a second copy of the guard
        traceback.print_exc()
    os._exit(code)


def hand_on(around: family.Family, pid: int) -> Tuple[int, bool]:
    """Hand signals to `pid` until it ends; its exit code, and whether one of them stops."""
    ended: Dict[int, int] = {}
    stopped = False
    while pid not in ended:
        number = family.heard((*family.FORWARDED, signal.SIGCHLD), family.LOOK_S)
        stopped = stopped or number in family.STOPS
        around.reap(ended.__setitem__)
        if number in family.FORWARDED and pid not in ended:
            os.kill(pid, number)
    if ended[pid] == 128 + signal.SIGKILL and family.below():
        planned.say("the starter of the ranks was killed; so are they")
    return ended[pid], stopped


def piped() -> List[List[int]]:
    """Output and error where they go to a pipe; together where it is the same one, so that lines keep their order."""
    found: Dict[Tuple[int, int], List[int]] = {}
    for number in (1, 2):
        kind = os.fstat(number)
        if stat.S_ISFIFO(kind.st_mode) or stat.S_ISSOCK(kind.st_mode):
            found.setdefault((kind.st_dev, kind.st_ino), []).append(number)
    return list(found.values())


def pass_on(source: int, sink: int) -> None:
    """Copy until all writers have gone; without a reader for nobody."""
    while True:
        data = os.read(source, 1 << 16)
        if not data:
            return
        with contextlib.suppress(OSError):  # nobody reads any more
            while data:
                try:
                    data = data[os.write(sink, data) :]
                except BlockingIOError:  # somebody who shares the pipe set that
                    select.select([], [sink], [])
