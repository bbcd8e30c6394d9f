"""A PooledPlan -> its folder: the plan folders of its pools, and on top what describes and starts both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from compiler.checks import Status
from compiler.frameworks.adapter import adapter
from compiler.plan import Plan
from compiler.pooled import PooledPlan
from compiler.render import breakdown
from compiler.render.artifacts import Artifact, to_json
from compiler.render.atomic import Made, write_folder
from compiler.render.config_yaml import dump
from compiler.render.engine import render
from compiler.render.folder import files, manifest
from compiler.render.report import escaped, projection
from compiler.render.table import Table
from compiler.schedulers.registry import artifacts as launch_artifacts
from compiler.schedulers.registry import pooled_artifacts
from compiler.words import gigabytes, number


def write_pooled(plan: PooledPlan, out: Path, name: str | None = None) -> Path:
    """Write `<out>/<name>` in one step and return its path. Raises WriteError, and ConfigError as `write_plan` does."""
    target = out / (name or plan.name)
    write_folder(target, everything(plan))
    return target


def everything(plan: PooledPlan) -> list[Artifact | Made]:
    """Every file of the folder, in the order that they are written. Raises ConfigError as `write_plan` does."""
    below = [item for role, part in plan.pools.items() for item in _below(role, part)]
    return [*below, *_files(plan), *pooled_artifacts(plan), manifest]


def _below(role: str, plan: Plan) -> Iterator[Artifact | Made]:
    """A pool's plan folder, with the manifest that it would have alone."""
    for artifact in (*files(plan), *launch_artifacts(plan)):
        yield replace(artifact, path=f"{role}/{artifact.path}")

    def own(digests: Mapping[str, str]) -> Artifact:
        start = f"{role}/"
        found = {path.removeprefix(start): digest for path, digest in digests.items() if path.startswith(start)}
        alone = manifest(found)
        return replace(alone, path=start + alone.path)

    yield own


def _files(plan: PooledPlan) -> Iterator[Artifact]:
    contents = plan.to_dict()
    yield Artifact("plan.json", to_json(contents))
    yield Artifact("config.yaml", dump(plan.config))
    yield Artifact("report.md", _report(plan, contents))


def _report(plan: PooledPlan, contents: Mapping[str, Any]) -> str:
    config = plan.config
    return render(
        "pools.md.j2",
        answers=all(adapter(part.config.framework.name).emission(part.world).http_port for part in plan.pools.values()),
        plan=plan,
        hardware=config.hardware,
        config=config,
        pools=escaped(_pools(contents)),
        projection=escaped(projection(contents["projection"])),
        parts=escaped(
            breakdown.parts(contents["projection"], max(pool["degrees"]["pp"] for pool in contents["pools"].values()))
        ),
        served=escaped(breakdown.together(contents["served"])),
        rates=escaped(_rates(contents)),
        notable=[check for check in plan.checks if check.status is not Status.PASS],
        passed=sum(check.status is Status.PASS for check in plan.checks),
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
