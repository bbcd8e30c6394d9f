"""How a person asks the servers of a plan, and starts the router of pools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.frameworks.adapter import adapter
from compiler.frameworks.router import PORT
from compiler.plan import Plan
from compiler.report.blocks import Block, Command, Items, Section
from compiler.schedulers import registry

REPORT, CONSOLE = (40, 40)


def sections(plan: Plan, _: Mapping[str, Any]) -> Iterator[Section]:
    asked = registry.asked(plan)
    if asked:
        yield _server(asked)
    if not plan.alone and _answer(plan):
        yield Section("Ask the servers", tuple(_servers(registry.routed(plan))))


def _server(asked: Mapping[str, str]) -> Section:
    slurm = "; under Slurm the job says where, in its output and in `rankplan-JOB/endpoints` (JOB is the job's number)"
    where = f"It answers once its model is loaded, on the first node of each instance{slurm * ('slurm' in asked)}."
    return Section(
        "Ask the server",
        (where, Items(tuple(f"{name}: `{command}`" for name, command in asked.items()))),
        lines=tuple(("ask it", command) for command in asked.values()),
    )


def _answer(plan: Plan) -> bool:
    return all(adapter(part.config.framework.name).emission(part.world).http_port for part in plan.parts.values())


def _servers(routers: Mapping[str, str]) -> Iterator[Block]:
    yield (
        "A request goes through a router, which gives each to one instance of prefill and one of decode. `endpoints` names "
        "them, a line each, with where it answers as the last word: beside the job's logs in `rankplan-JOB/endpoints` under "
        "Slurm, at `$RANKPLAN_ENDPOINTS` in every rank. Each answers `/health` once its model is loaded."
    )
    if not routers:
        return
    yield (
        "Once all do, this starts the router, where the nodes can be reached (under Slurm JOB is the job's number); it answers "
        f"at port {PORT}:"
    )
    yield from (Command(name, command) for name, command in routers.items())
    forward = " (on Kubernetes after `kubectl port-forward` to its pod, localhost)" * (set(routers) != {"slurm"})
    yield f"Then `curl http://ROUTER:{PORT}/v1/models`, with the host of the router{forward}."
