"""The life of a job over its restarts: whether an attempt may begin, and what follows from how it ended.

    attempt.py RUN begin N [POOL...]       prints `run`, or the job's exit code
    attempt.py RUN stop N                  notes down that Slurm ends this job, and why, before it is too late for that
    attempt.py RUN end N SIGNAL LIMIT CODE...   prints `requeue`, or the job's exit code

SIGNAL is what the job was sent (or none), LIMIT when its time ends in seconds since 1970, CODE that of each instance's step.
POOLs are plans that are launched together, each with a folder of its own in RUN; a CODE is then `POOL.INSTANCE=CODE`, in
the order in which steps ended.

All three keep RUN/summary.json: every attempt with its hosts, signal, exit code and the rank that failed first.
Standard library only, Python 3.6 syntax.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import failures, planned, shape
else:
    import failures
    import planned
    import shape

Summary = Dict[str, Any]

REASONS = {
    "": "cancelled",
    "PREEMPTION": "preempted",
    "TIME LIMIT": "ended at its time limit",
    "NODE FAILURE": "ended by Slurm: a node failure",
}
"""How Slurm says why it ends a job -> the outcome of the attempt."""
TAIL = 1 << 16
"""Bytes of output that are looked through."""
EARLY_S = 120
"""Slurm sends a signal up to 60 s early, and ranks take their time to end."""


def progress(run: str, launch: Dict[str, Any]) -> Optional[str]:
    """Changes with every checkpoint: of launch.checkpoint, and of RUN/progress, which ranks may touch. None where nobody looks."""
    paths = [os.fsencode(os.path.join(run, "progress"))]
    if launch["checkpoint"] is not None:
        folder = launch["checkpoint"].encode("utf-8")
        paths += [folder] + [
            os.path.join(folder, name) for name in (os.listdir(folder) if os.path.isdir(folder) else [])
        ]
    elif not os.path.exists(paths[0]):
        return None
    found = []
    for path in sorted(paths):
        with contextlib.suppress(OSError):  # old checkpoints may be cleared away just now
            status = os.stat(path)
            found.append((path, status.st_mtime_ns, status.st_size))
    return hashlib.sha256(repr(found).encode("ascii")).hexdigest()


def idle(summary: Summary, now: Optional[str]) -> int:
    """Attempts in a row, up to the last, since whose beginning nothing was saved."""
    count = 0
    for attempt in reversed(summary["attempts"]):
        if now is None or attempt["progress"] != now:
            break
        count += 1
    return count


def stuck(summary: Summary, now: Optional[str], launch: Dict[str, Any]) -> str:
    """Why no restart would help; empty where one may."""
    number, most = idle(summary, now), launch["max_idle_restarts"]
    if number <= most:
        return ""
    return "no new checkpoint in %d attempts, and launch.max_idle_restarts is %d" % (number, most)


def begin(run: str, launch: Dict[str, Any], attempt: int, pools: List[str]) -> str:
    """Note down a new attempt, or say why there is none."""
    summary = read(run) or first(launch, pools)
    now = progress(run, launch)
    for lost in summary["attempts"]:
        if "outcome" not in lost:
            lost["outcome"] = "ended by Slurm: a node failure, a preemption or a cancellation"
    reason, done = "", os.path.join(run, "done")
    if os.path.exists(done) and summary["attempts"]:
        reason = "an attempt before this one finished the work"
    elif attempt > launch["max_restarts"]:
        reason = "this job was restarted %d times; launch.max_restarts is %d" % (attempt, launch["max_restarts"])
    reason = reason or stuck(summary, now, launch)
    if not reason:
        if os.path.exists(done):
            os.unlink(done)  # another job's
        summary["attempts"].append({"attempt": attempt, "began": int(time.time()), "progress": now})
    save(run, summary)
    if not reason:
        return "run"
    planned.say(reason)
    return "0" if os.path.exists(done) else "1"


def end(run: str, launch: Dict[str, Any], attempt: int, signal: str, limit: int, codes: List[str]) -> str:
    """Note down how the attempt ended, say who failed first, and decide."""
    summary = read(run) or first(launch, [])
    if not summary["attempts"]:
        raise planned.PlanError(planned.CONFIGURATION, "%s/summary.json: no attempt has begun" % run)
    this, pools = summary["attempts"][-1], summary.get("pools", {})
    told = failures.of_pools if any("=" in code for code in codes) else failures.of_instances
    failed = told(run, attempt, codes)
    status = failed[0]["code"] if failed else 143 if signal == "TERM" and not codes else 0
    this.update({"ended": int(time.time()), "signal": signal, "code": status, "failures": failed})
    this.update({"pools": {pool: bound(os.path.join(run, pool)) for pool in pools}} if pools else bound(run))
    done = os.path.exists(os.path.join(run, "done"))
    finished = status == 0 and (done or signal != "USR1")
    near = limit - time.time() < launch["checkpoint_signal_s"] + EARLY_S
    interrupted = signal == "USR1" and (status == 0 or near)  # else they failed at something else
    again = not finished and not done and signal != "TERM" and (interrupted or status in launch["restart_codes"])
    this["outcome"] = this.get("outcome") or ("finished" if finished else "failed" if status else "interrupted")
    answer = restart(summary, launch, attempt, progress(run, launch), this) if again else str(status)
    save(run, summary)
    firsts = "".join(
        ", %sinstance %d: %s ended first, with exit code %d"
        % (row.get("pool", "") and row["pool"] + " ", row["instance"], row["who"], row["code"])
        for row in failed
    )
    planned.say("attempt %d %s%s; see %s/summary.json" % (attempt, this["outcome"], firsts, run))
    return answer


def stop(run: str) -> None:
    """Note down why Slurm ends this job, where it does: the script may not live to see the end."""
    summary, reason = read(run), None
    if summary is not None and summary["attempts"] and "outcome" not in summary["attempts"][-1]:
        reason = told_by_slurm(summary["attempts"][-1]["began"])
    if summary is not None and reason:
        summary["attempts"][-1].update(signal="TERM", ended=int(time.time()), outcome=reason)
        save(run, summary)
        planned.say("%s; see %s/summary.json" % (reason, run))


def told_by_slurm(since: int) -> Optional[str]:
    """The reason that slurmstepd wrote into the job's own output; while a job ends, its state is COMPLETING whatever the reason."""
    try:
        with planned.opened("/proc/self/fd/2") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            text = file.read(TAIL).decode("utf-8", "replace")
    except (OSError, planned.PlanError):  # its output is no file
        return None
    for at, reason in re.findall(r"CANCELLED AT (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?: DUE TO ([A-Z ]+))?", text):
        with contextlib.suppress(ValueError, OverflowError):
            if time.mktime(time.strptime(at, "%Y-%m-%dT%H:%M:%S")) >= since - 1:
                return str(REASONS.get(reason.strip(), "ended by Slurm: " + reason.strip().lower()))
    return None


def restart(summary: Summary, launch: Dict[str, Any], attempt: int, now: Optional[str], this: Dict[str, Any]) -> str:
    """Once more, unless a cap stops it; then the exit code says that the work is not done."""
    reason = stuck(summary, now, launch)
    if attempt >= launch["max_restarts"]:
        reason = "launch.max_restarts is %d" % launch["max_restarts"]
    this["outcome"] = "stopped: " + reason if reason else "requeued"
    return str(this["code"] or int(launch["max_restarts"] > 0)) if reason else "requeue"


def bound(run: str) -> Dict[str, List[str]]:
    """Which hosts had slots, which were left over, which are left out."""
    return {name: planned.lines(os.path.join(run, name)) for name in ("hosts", "spares", "exclude")}


def read(run: str) -> Optional[Summary]:
    """The summary of this job so far."""
    path = os.path.join(run, "summary.json")
    if not os.path.exists(path):
        return None
    found = planned.parsed(path, planned.read(path), shape.SUMMARY)  # type: Summary
    return found if found["job"] == os.environ.get("SLURM_JOB_ID", "") else None


def first(launch: Dict[str, Any], pools: List[str]) -> Summary:
    """A summary without attempts."""
    named = ("name", "fingerprint", "world_size", "instances")
    summary = {name: launch[name] for name in named}
    if pools:
        above = os.path.dirname(os.path.dirname(planned.HERE))
        launches = {pool: planned.load(os.path.join(above, pool, "runtime")) for pool in pools}
        summary = {"pools": {pool: {name: own[name] for name in named} for pool, own in launches.items()}}
    return dict(summary, schema="rankplan.summary/1", job=os.environ.get("SLURM_JOB_ID", ""), attempts=[])


def save(run: str, summary: Summary) -> None:
    planned.write(os.path.join(run, "summary.json"), json.dumps(summary, indent=1) + "\n")


def answer(words: List[str]) -> str:
    """What is asked of it. Raises PlanError for words that are no question."""
    usage = "write attempt.py RUN begin N [POOL...], RUN stop N or RUN end N SIGNAL LIMIT CODE..."
    if len(words) < 3 or words[1] not in ("begin", "stop", "end") or (len(words) < 5 and words[1] == "end"):
        raise planned.PlanError(planned.CONFIGURATION, usage)
    run, what, rest = words[0], words[1], words[3:]
    for number in [words[2], *rest[1:2] * (what == "end")]:
        if not re.fullmatch("[0-9]{1,18}", number):
            raise planned.differs(planned.CONFIGURATION, "attempt or limit", "a number", ascii(number)[:80])
    launch, attempt = planned.load(), int(words[2])
    if what == "begin":
        return begin(run, launch, attempt, rest)
    if what == "end":
        kind = r"[a-z]+\.[0-9]{1,9}=[0-9]{1,3}" if "=" in "".join(rest[2:3]) else "[0-9]{1,3}"
        bad = [code for code in rest[2:] if not re.fullmatch(kind, code)]
        if bad:
            raise planned.differs(planned.CONFIGURATION, "code of a step", "a number", ascii(bad[0])[:80])
        return end(run, launch, attempt, rest[0], int(rest[1]), rest[2:])
    stop(run)
    return ""


def main(words: List[str]) -> int:
    try:
        found = answer(words)
    except (planned.PlanError, OSError) as error:
        planned.say("%s: %s" % (" of attempt ".join(words[1:3]), error))
        return planned.CONFIGURATION
    if found:
        planned.put(1, found)
    return 0


if __name__ == "__main__":
    planned.begin(main)
