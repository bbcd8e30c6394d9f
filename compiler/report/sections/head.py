"""What the plan is: ranks, cluster, model, degrees; of pools, what each is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.words import gigabytes, several

REPORT, CONSOLE = (10, 10)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    yield _of_one(plan, contents["degrees"]) if plan.alone else _of_pools(plan, contents)


def _of_one(plan: Plan, degrees: Mapping[str, Any]) -> Section:
    config, world = plan.config, plan.world
    each = f" in each of {world.instances} instances" if world.instances > 1 else ""
    about = f"model {config.model.name}, workload {config.workload.kind}, framework {config.framework.name}"
    names = ("tp", "cp", "pp", "vpp", "ep", "etp", "dp", "adp", "edp")
    values = ("-" if degrees[name] is None else str(degrees[name]) for name in names)
    instances = f" x {world.instances} instances" * (world.instances > 1)
    hardware = config.hardware
    return Section(
        blocks=(
            f"{several(plan.world_size, 'rank')}{each} on {_nodes(plan)}, {about}.",
            f"Fingerprint `{plan.fingerprint}`.",
            Table(
                ("tp", "cp", "pp", "vpp", "ep", "etp", "dp", "attention DP", "expert DP", "order"),
                ((*values, config.parallel.order),),
            ),
        ),
        urgent=True,
        lines=(
            (
                "ranks",
                f"{world.size}{instances} on {several(hardware.nodes, 'node')} x {world.slots.gpus} GPUs ({hardware.name})",
            ),
            ("degrees", _degrees(degrees)),
        ),
    )


def _nodes(plan: Plan) -> str:
    hardware = plan.config.hardware
    return f"{several(hardware.nodes, 'node')} of {hardware.node.gpus} {hardware.gpu.name} ({hardware.name})"


def _degrees(degrees: Mapping[str, Any]) -> str:
    """Each with its value; dp, where ep does not divide adp, has none."""
    shown = {key: value for key, value in degrees.items() if key != "name" and value is not None}
    return " ".join(f"{key}={value}" for key, value in shown.items())


def _of_pools(plan: Plan, contents: Mapping[str, Any]) -> Section:
    config, pools = plan.config, contents["pools"]
    about = f"model {config.model.name}, framework {config.framework.name}"
    whose = "Each pool is a plan folder of its own, with its rank map, groups and report; what starts both is here."
    head = ("pool", "degrees", "instances", "ranks each", "nodes", "memory of its fullest rank")
    return Section(
        blocks=(
            f"Prefill and decode apart: {several(contents['ranks'], 'rank')} on {_nodes(plan)}, {about}. {whose}",
            f"Fingerprint `{plan.fingerprint}`.",
            Table(
                head,
                tuple(
                    (
                        f"`{role}/`",
                        found["degrees"]["name"],
                        str(found["instances"]),
                        str(found["world_size"]),
                        str(found["nodes"]),
                        f"{gigabytes(found['memory']['total_bytes'])} of {gigabytes(found['memory']['capacity_bytes'])}",
                    )
                    for role, found in pools.items()
                ),
            ),
        ),
        urgent=True,
        lines=tuple((f"{role} pool", _pool(found)) for role, found in pools.items()),
    )


def _pool(pool: Mapping[str, Any]) -> str:
    each, copies, nodes = (pool[key] for key in ("world_size", "instances", "nodes"))
    size = f"{several(each, 'rank')} x {several(copies, 'instance')} on {several(nodes, 'node')}"
    return f"{pool['degrees']['name']}, {size}"
