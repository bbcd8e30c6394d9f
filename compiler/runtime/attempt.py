"""The life of a job over its restarts: whether an attempt may begin, and what follows from how it ended.

    attempt.py RUN begin N                 prints `run`, or the job's exit code
    attempt.py RUN end N SIGNAL LIMIT CODE...   prints `requeue`, or the job's exit code

SIGNAL is what the job was sent (or none), LIMIT when its time ends in seconds since 1970, CODE that of each instance's step.

Both keep RUN/summary.json: every attempt with its hosts, signal, exit code and the rank that failed first.
Standard library only, Python 3.6 syntax.
"""

import hashlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import planned
else:
    import planned

Summary = Dict[str, Any]

EARLY_S = 120
"""Slurm sends a signal up to 60 s early, and ranks take their time to end."""


def progress(run: str, launch: Dict[str, Any]) -> Optional[str]:
    """Changes with every checkpoint: of launch.checkpoint, and of RUN/progress, which ranks may touch. None where nobody looks."""
    paths = [os.path.join(run, "progress")]
    if launch["checkpoint"] is not None:
        folder = launch["checkpoint"]
        paths += [folder] + [
            os.path.join(folder, name) for name in (os.listdir(folder) if os.path.isdir(folder) else [])
        ]
    elif not os.path.exists(paths[0]):
        return None
    found = [(path, os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in sorted(paths) if os.path.exists(path)]
    return hashlib.sha256(repr(found).encode("utf-8", "surrogateescape")).hexdigest()


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


def begin(run: str, launch: Dict[str, Any], attempt: int) -> str:
    """Note down a new attempt, or say why there is none."""
    summary = read(run, launch)
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


def end(run: str, launch: Dict[str, Any], attempt: int, signal: str, limit: int, codes: List[int]) -> str:
    """Note down how the attempt ended, say who failed first, and decide."""
    summary = read(run, launch)
    this = summary["attempts"][-1]
    failures = [first_failure(run, attempt, instance, code) for instance, code in enumerate(codes) if code]
    status = failures[0]["code"] if failures else 143 if signal == "TERM" and not codes else 0
    this.update({"ended": int(time.time()), "signal": signal, "code": status, "failures": failures})
    this.update({name: planned.lines(os.path.join(run, name)) for name in ("hosts", "spares", "exclude")})
    done = os.path.exists(os.path.join(run, "done"))
    finished = status == 0 and (done or signal != "USR1")
    near = limit - time.time() < launch["checkpoint_signal_s"] + EARLY_S
    interrupted = signal == "USR1" and (status == 0 or near)  # else they failed at something else
    again = not finished and not done and signal != "TERM" and (interrupted or status in launch["restart_codes"])
    this["outcome"] = "finished" if finished else "failed" if status else "interrupted"
    answer = restart(summary, launch, attempt, progress(run, launch), this) if again else str(status)
    save(run, summary)
    who = "".join(", instance %(instance)d: %(who)s ended first, with exit code %(code)d" % row for row in failures)
    planned.say("attempt %d %s%s; see %s/summary.json" % (attempt, this["outcome"], who, run))
    return answer


def restart(summary: Summary, launch: Dict[str, Any], attempt: int, now: Optional[str], this: Dict[str, Any]) -> str:
    """Once more, unless a cap stops it; then the exit code says that the work is not done."""
    reason = stuck(summary, now, launch)
    if attempt >= launch["max_restarts"]:
        reason = "launch.max_restarts is %d" % launch["max_restarts"]
    this["outcome"] = "stopped: " + reason if reason else "requeued"
    return str(this["code"] or int(launch["max_restarts"] > 0)) if reason else "requeue"


def first_failure(run: str, attempt: int, instance: int, code: int) -> Dict[str, Any]:
    """What the first failing rank left behind; else the exit code of its step."""
    path = os.path.join(run, "logs", "attempt-%d" % attempt, "instance-%d" % instance, "first-failure")
    told = planned.lines(path)
    if not told:
        return {"instance": instance, "code": code, "who": "the step", "host": None}
    found, who = told[0].split(" ", 1)
    who, host = who.rsplit(" on ", 1)
    if int(found) == planned.HARDWARE:
        with open(os.path.join(run, "exclude"), "a", encoding="utf-8") as file:
            file.write("%s failed the self-check of %s\n" % (host, who))
    return {"instance": instance, "code": int(found), "who": "%s on %s" % (who, host), "host": host}


def read(run: str, launch: Dict[str, Any]) -> Summary:
    """The summary of this job so far."""
    job, path = os.environ.get("SLURM_JOB_ID", ""), os.path.join(run, "summary.json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            found = dict(json.load(file))
        if found["job"] == job:
            return found
    named = {name: launch[name] for name in ("name", "fingerprint", "world_size", "instances")}
    return dict(named, schema="rankplan.summary/1", job=job, attempts=[])


def save(run: str, summary: Summary) -> None:
    planned.write(os.path.join(run, "summary.json"), json.dumps(summary, indent=1) + "\n")


def main(run: str, what: str, attempt: int, rest: List[str]) -> int:
    try:
        launch = planned.load()
        if what == "begin":
            print(begin(run, launch, attempt))
        else:
            print(end(run, launch, attempt, rest[0], int(rest[1]), [int(code) for code in rest[2:]]))
    except (planned.PlanError, OSError, ValueError, KeyError, IndexError) as error:
        planned.say("%s of attempt %d: %s" % (what, attempt, error))
        return planned.CONFIGURATION
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
