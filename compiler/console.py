"""What a person sees: a summary, and a sweep's progress. With rich on a terminal, plain elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from compiler.checks import Status
from compiler.errors import Problem, line
from compiler.plan import Plan
from compiler.pooled import PooledPlan
from compiler.schedulers import registry
from compiler.words import number, readable, seconds
from compiler.world import World


def summary(plan: Plan | PooledPlan, folder: Path) -> None:
    """Print what was compiled, what it costs, and what to look at."""
    found = _rows(plan, folder) if isinstance(plan, Plan) else _pooled_rows(plan, folder)
    rows = [(name, line(value)) for name, value in found]
    if sys.stdout is not None and sys.stdout.isatty():
        _print_rich(rows, plan)
        return
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    for check in plan.checks:
        if check.status is Status.WARN:
            print(f"warning: {check.problem}")


def _print_rich(rows: list[tuple[str, str]], plan: Plan | PooledPlan) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    console = Console()
    console.print(table)
    for check in plan.checks:
        if check.status is Status.WARN:
            console.print(Text("warning: ", style="yellow").append(str(check.problem), style="none"), soft_wrap=True)


def _rows(plan: Plan, folder: Path) -> Iterable[tuple[str, str]]:
    contents = plan.to_dict()
    world, memory, params = plan.world, contents["memory"], contents["params"]
    instances = f" x {world.instances} instances" * (world.instances > 1)
    yield "plan", plan.name
    yield "folder", str(folder)
    yield (
        "ranks",
        f"{world.size}{instances} on {plan.config.hardware.nodes} nodes x {world.slots.gpus} GPUs ({plan.config.hardware.name})",
    )
    yield "degrees", _degrees(contents["degrees"])
    share = memory["total_bytes"] / memory["capacity_bytes"]
    yield (
        "memory",
        f"{memory['total_bytes'] / 1e9:.2f} GB of {memory['capacity_bytes'] / 1e9:.4g} GB on the fullest rank ({share:.1%})",
    )
    yield from _projection(contents["projection"])
    yield from (("ask it", command) for command in registry.asked(plan).values())
    yield "checks", count(check.status for check in plan.checks)
    if any(verdict.verdict != "not_applicable" for verdict in plan.expectations):
        yield "claims", count(verdict.verdict.replace("_", " ") for verdict in plan.expectations)
    yield (
        "parameters",
        f"{readable(params['total'])}, {readable(params['active'])} active, {readable(params['per_rank_max'])} on a rank",
    )
    yield "groups", _groups(world)


def _degrees(degrees: dict[str, Any]) -> str:
    """Each with its value; dp, where ep does not divide adp, has none."""
    shown = {key: value for key, value in degrees.items() if key != "name" and value is not None}
    return " ".join(f"{key}={value}" for key, value in shown.items())


def _groups(world: World) -> str:
    """Groups and ranks in each, of the plan's own kinds that join ranks; a framework's are only counted."""
    own = {kind: found for kind, found in world.kinds.items() if "." not in kind}
    joined = [f"{kind}:{found.count}x{found.size}" for kind, found in own.items() if found.size > 1]
    others = len(world.kinds) - len(own)
    more = [f"and {others} kinds of {world.config.framework.name}"] if others else []
    return " ".join([*(joined or ["none of several ranks"]), *more])


def _pooled_rows(plan: PooledPlan, folder: Path) -> Iterable[tuple[str, str]]:
    contents = plan.to_dict()
    yield "plan", plan.name
    yield "folder", str(folder)
    for role, pool in contents["pools"].items():
        used = pool["memory"]["total_bytes"] / pool["memory"]["capacity_bytes"]
        size = f"{pool['world_size']} ranks x {pool['instances']} instances on {pool['nodes']} nodes"
        yield role, f"{pool['degrees']['name']}, {size}, memory {used:.1%}"
    yield from _projection(contents["projection"])
    yield from _served(contents["served"])
    yield "checks", count(check.status for check in plan.checks)


def _projection(projection: dict[str, Any]) -> Iterable[tuple[str, str]]:
    if "train" in projection:
        row = projection["train"]
        yield (
            "step",
            f"{seconds(row['step_time_s'])}, {number(row['tokens_per_s_per_gpu'])} tokens/s/GPU, MFU {number(row['mfu'])}",
        )
        yield "run", _run(row)
        return
    for row in projection["serve"]["prefill"]:
        yield (
            f"prefill {row['sequence_length']}",
            f"TTFT {seconds(row['ttft_s'])}, {number(row['tokens_per_s_per_gpu'])} tokens/s/GPU",
        )
    for row in projection["serve"]["decode"]:
        yield (
            f"decode {row['context_length']}",
            f"TPOT {seconds(row['tpot_s'])}, {number(row['tokens_per_s_per_gpu'])} tokens/s/GPU",
        )
    yield from _served(projection["serve"].get("aggregated", ()))


def _served(rows: Iterable[dict[str, Any]]) -> Iterable[tuple[str, str]]:
    """What clients see who each ask again when they are answered, where an engine was measured."""
    for row in rows:
        if row["ttft_s"] is not None:
            times = f"TTFT {seconds(row['ttft_s'])}, TPOT {seconds(row['tpot_s'])}"
            rate = f"{number(row['requests_per_s'])} requests/s"
            out = f"{number(row['output_tokens_per_s_per_gpu'])} output tokens/s/GPU"
            some = f", {row['running']} of {row['batch']} clients at a time" * (row["running"] < row["batch"])
            yield f"both {row['sequence_length']}", f"{times}, {rate}, {out}{some}"


def _run(row: dict[str, Any]) -> str:
    """What a step's speed comes to in days."""
    said = [f"{readable(row['tokens_per_day'])} tokens/day"]
    if row["goodput"] is not None:
        said.append(f"goodput {row['goodput']:.1%} at {number(row['failures_per_day'])} failures/day")
    if row["days"] is not None:
        said.append(f"{number(row['days'])} days, {readable(row['gpu_hours'])} GPU-hours")
    return ", ".join(said)


def count(words: Iterable[str]) -> str:
    """How often each word comes, in the order of first appearance: `40 pass, 3 warn`."""
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return ", ".join(f"{times} {word}" for word, times in sorted(found.items()))


class Progress:
    """A sweep's bar on a terminal, and its failures as they come."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("compiling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task("plans", total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __getstate__(self) -> dict[str, Any]:
        """A job that runs elsewhere has no bar to move."""
        return {"total": self.total, "_bar": None}

    def advance(self) -> None:
        """One job is done."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])

    def failed(self, job: str, problems: Iterable[Problem]) -> None:
        """Say at once why a job failed."""
        for problem in problems:
            said = f"error: {problem.of(job)}"
            if self._bar is None:
                print(said, file=sys.stderr)
            else:  # above the bar, and still a line each
                self._bar.console.print(said, soft_wrap=True, markup=False, highlight=False)
