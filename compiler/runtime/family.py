"""Processes that end together: those that were started, and all that these have started.

A process whose parent ends comes to the nearest ancestor that adopts, so nothing is lost from sight; and what is started
here dies with whoever started it. Both are Linux's; elsewhere signals reach sessions, and that is all.
Standard library only, Python 3.6 syntax.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Set, Tuple

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import planned
else:
    import planned

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FORWARDED = (*STOPS, signal.SIGUSR1, signal.SIGUSR2)
NOBODY, LEADERS, ALL = range(3)
"""Who hears a signal that comes here: whoever sent it told the others too; those that were started; their children as well."""

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LOOK_S = 5
"""Longest time without a look at who is left."""
UNKILLABLE_S = 10
"""Time to die of SIGKILL; a process that waits for a device does not."""


def prctl(option: int, value: int) -> bool:
    """Whether the kernel did it."""
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):  # no ctypes, no C library to load, not Linux
        return False


def tie(parent: int, number: int) -> None:
    """Have a signal sent here when the parent ends, which may have happened already."""
    prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def hold_signals() -> Set[int]:
    """From now on signals wait until `heard` takes them. Returns the mask of before, which is that of whoever is started.

    None is lost then, and none comes in the middle of something. What is ignored is not held (nohup).
    """
    held = {number for number in FORWARDED if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN}
    for number in held | {signal.SIGCHLD}:
        # one that is ignored would be lost, and whoever is started ignore it too
        signal.signal(number, lambda *_: None)
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, held | {signal.SIGCHLD}))


def heard(wanted: Any, limit_s: float) -> int:
    """The next of the `wanted` signals, 0 where none comes in time."""
    if hasattr(signal, "sigtimedwait"):
        found = signal.sigtimedwait(wanted, limit_s)
        return found.si_signo if found else 0
    end = time.monotonic() + limit_s  # macOS
    while not signal.sigpending() & set(wanted) and time.monotonic() < end:
        time.sleep(0.02)
    return signal.sigwait(wanted) if signal.sigpending() & set(wanted) else 0


def below(sessions: Any = ()) -> List[int]:
    """Living processes below this one, and those of `sessions`; without /proc the sessions, as `kill` takes them: below zero."""
    if not os.path.isdir("/proc/self"):
        return [-session for session in sessions if exists(-session)]
    children, states, found = {}, {}, []  # type: Dict[int, List[int]], Dict[int, bytes], List[int]
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open("/proc/%s/stat" % name, "rb") as file:
            state, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
            states[int(name)] = state
            children.setdefault(os.getpid() if int(session) in sessions else int(parent), []).append(int(name))
    todo = children.pop(os.getpid(), [])
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.pop(pid, [])
    return [pid for pid in found if states[pid] not in (b"Z", b"X")]


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def output(command: Any, timeout_s: float, expected: str) -> Tuple[int, str]:
    """Exit code and output of a command. Raises PlanError, a node's own failure, where there is none in time.

    Its children are killed with it then: one that holds the pipe would keep a reader waiting for ever.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except (OSError, ValueError) as error:
        raise planned.differs(planned.HARDWARE, command_name(command), expected, error) from None
    try:
        found = process.communicate(timeout=timeout_s)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        late = "none in %d s" % timeout_s
        raise planned.differs(planned.HARDWARE, command_name(command), expected, late) from None
    return process.returncode, found.decode("utf-8", "replace")


def command_name(command: Any) -> str:
    return command[0] if isinstance(command[0], str) else str(command[0].decode("utf-8"))


class Family:
    """What this process starts. Signals must be held; `mask` is what `hold_signals` returned."""

    def __init__(self, grace_s: int, mask: Set[int], told: int = ALL, guard: Optional[int] = None) -> None:
        self.grace_s, self.mask, self.told, self.guard = grace_s, mask, told, guard
        self.running = {}  # type: Dict[int, str]
        self.adopts = prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.sessions = set()  # type: Set[int]
        self.stopping = False
        self.ends = None  # type: Optional[float]
        self.code = 0

    def start(self, name: str, command: Any, environment: Optional[Dict[str, str]], apart: bool = True) -> None:
        """Start a process, `apart` in a session of its own."""
        here = os.getpid()

        def prepare() -> None:
            tie(here, signal.SIGKILL)
            signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

        process = subprocess.Popen(command, env=environment, start_new_session=apart, preexec_fn=prepare)  # noqa: PLW1509 - one thread
        process.returncode = 0  # it is waited for below, by pid
        self.running[process.pid] = name
        if apart and not self.adopts:
            self.sessions.add(process.pid)

    def wait(self) -> int:
        """Wait for all that were started; the exit code of the first that failed, 128 + n for signal n."""
        while self.running:
            number = heard((*FORWARDED, signal.SIGCHLD), self.left())
            self.reap(self.ended)
            if self.guard and os.getppid() != self.guard:
                self.ends, self.code = 0, self.code or 128 + signal.SIGKILL
            elif number in FORWARDED:
                self.hear(number)
            if self.ends is not None and time.monotonic() >= self.ends and not self.kill():
                return self.code or 128 + signal.SIGKILL
        return self.code

    def left(self) -> float:
        """Seconds until the grace time is over."""
        return LOOK_S if self.ends is None else min(LOOK_S, max(0.0, self.ends - time.monotonic()))

    def hear(self, number: int) -> None:
        """Hand a signal on; one that stops begins the grace time."""
        if number in STOPS:
            self.stopping = True
            self.limit()
        if self.told == ALL and number == signal.SIGTERM:
            self.tell(number)
        elif self.told != NOBODY:
            for pid in self.running:
                with contextlib.suppress(OSError):  # it may have ended just now
                    (os.kill if self.told == LEADERS else os.killpg)(pid, number)

    def ended(self, pid: int, code: int) -> None:
        """After the first failure the others would wait for this process for ever."""
        name = self.running.pop(pid, None)  # orphans end here too
        if name is None or code == 0 or self.code:
            return
        self.code = code
        if self.told != NOBODY:
            planned.say("%s ended with exit code %d; ending the other %d" % (name, code, len(self.running)))
        if self.running and not self.stopping:
            self.hear(signal.SIGTERM)

    def limit(self) -> None:
        self.ends = time.monotonic() + self.grace_s if self.ends is None else self.ends

    def end(self) -> None:
        """What is left of the family is told to end, and killed when the grace time is over."""
        if below(self.sessions) and self.ends is None:
            self.tell(signal.SIGTERM)
            self.limit()
        while below(self.sessions) and time.monotonic() < (self.ends or 0):
            heard((signal.SIGCHLD,), 0.1)
            self.reap(self.ended)
        self.kill()

    def tell(self, number: int) -> None:
        for pid in below(self.sessions):
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def kill(self) -> bool:
        """Whether no one is left; what is born meanwhile is killed in the next round."""
        end = time.monotonic() + UNKILLABLE_S
        while below(self.sessions):
            if time.monotonic() > end:
                planned.say("%d processes do not die of SIGKILL" % len(below(self.sessions)))
                return False
            self.tell(signal.SIGKILL)
            heard((signal.SIGCHLD,), 0.05)
            self.reap(self.ended)
        self.reap(self.ended)
        return True

    def reap(self, ended: Callable[[int, int], None]) -> None:
        """Take note of all that have ended."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                ended(pid, 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
