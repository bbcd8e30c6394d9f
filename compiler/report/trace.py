"""`timeline.json`: one step of a plan that trains, in the trace-event format, which Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from compiler.costs.timeline import Timeline
from compiler.report.breakdown import STEP
from compiler.report.draw.lanes import KINDS

NANOSECONDS = 1e9
"""What times are cut to, so that an event never begins before the one in front of it has ended."""


def trace(name: str, found: Timeline) -> str:
    """A thread for each stage, and one for what follows the pipeline; an event a line. The last one ends with the step."""
    events = ",\n".join(json.dumps(event, ensure_ascii=False) for event in _events(name, found))
    return f'{{"displayTimeUnit": "ms", "traceEvents": [\n{events}\n]}}\n'


def _events(name: str, found: Timeline) -> Iterator[dict[str, Any]]:
    yield _named("process_name", 0, name)
    for stage, events in enumerate(found.ranks):
        yield _named("thread_name", stage, f"stage {stage}")
        for start, end, kind, label in events:
            yield _event(KINDS[kind], stage, start, end, {"of": label})
    after, at, words = len(found.ranks), found.pipeline_s, dict(STEP)
    yield _named("thread_name", after, "after the pipeline")
    for part, seconds in found.tail.items():
        if seconds:
            yield _event(words[part], after, at, at + seconds, {"plan": f"projection.train.{part}"})
            at += seconds


def _named(what: str, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": 0, "tid": thread, "args": {"name": name}}


def _event(name: str, thread: int, start_s: float, end_s: float, about: dict[str, str]) -> dict[str, Any]:
    start, end = round(start_s * NANOSECONDS), round(end_s * NANOSECONDS)
    times = {"ts": start / 1000, "dur": (end - start) / 1000}  # microseconds, as the format has them
    return {"ph": "X", "name": name, "pid": 0, "tid": thread, **times, "args": about}
