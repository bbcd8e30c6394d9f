"""What the folder of pools holds on top of theirs: a plan.json, a configuration and a report of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.frameworks.adapter import adapter
from compiler.frameworks.router import PORT
from compiler.plan import Plan
from compiler.render import breakdown
from compiler.render.artifacts import Artifact, to_json
from compiler.render.config_yaml import dump
from compiler.render.engine import render
from compiler.render.report import escaped, projection
from compiler.render.table import Table
from compiler.schedulers.registry import routed
from compiler.words import gigabytes, number


def files(plan: Plan) -> Iterator[Artifact]:
    """What describes both pools together."""
    contents = plan.to_dict()
    yield Artifact("plan.json", to_json(contents))
    yield Artifact("config.yaml", dump(plan.config))
    yield Artifact("report.md", _report(plan, contents))


def _report(plan: Plan, contents: Mapping[str, Any]) -> str:
    config = plan.config
    return render(
        "pools.md.j2",
        answers=all(adapter(part.config.framework.name).emission(part.world).http_port for part in plan.parts.values()),
        routers=routed(plan),
        port=PORT,
        plan=plan,
        ranks=contents["ranks"],
        hardware=config.hardware,
        config=config,
        pools=escaped(_pools(contents)),
        projection=escaped(projection(contents["projection"])),
        parts=escaped(
            breakdown.parts(contents["projection"], max(pool["degrees"]["pp"] for pool in contents["pools"].values()))
        ),
        served=escaped(breakdown.together(contents["served"])),
        rates=escaped(_rates(contents)),
        notable=[check for check in plan.checks if check.status != "pass"],
        passed=sum(check.status == "pass" for check in plan.checks),
        verdicts=plan.expectations,
    )


def _pools(contents: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            f"`{role}/`",
            found["degrees"]["name"],
            str(found["instances"]),
            str(found["world_size"]),
            str(found["nodes"]),
            f"{gigabytes(found['memory']['total_bytes'])} of {gigabytes(found['memory']['capacity_bytes'])}",
        )
        for role, found in contents["pools"].items()
    )
    return Table(("pool", "degrees", "instances", "ranks each", "nodes", "memory of its fullest rank"), rows)


def _rates(contents: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            str(rate["sequence_length"]),
            str(rate["output_length"]),
            number(rate["prefill_requests_per_s"]),
            number(rate["decode_requests_per_s"]),
            rate["limited_by"],
            number(rate["output_tokens_per_s_per_gpu"]),
            f"{rate['matched_prefill_instances']} : {rate['matched_decode_instances']}",
        )
        for rate in contents["rates"]
    )
    head = ("prompt", "answer", "prefill requests/s", "decode requests/s", "limited by", "output tokens/s/GPU")
    return Table((*head, "prefill : decode instances that match"), rows)
