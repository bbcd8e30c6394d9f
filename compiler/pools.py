"""One configuration -> one plan, or one for each pool: the pools' nodes, their parts of the inventory, what both must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from compiler import passes, pool_pair
from compiler.checks import Check, check
from compiler.cluster import inventory
from compiler.costs.together import Aggregated, sure
from compiler.errors import InvariantError, Problem
from compiler.expectations import unjudged
from compiler.passes import compile_config, measured
from compiler.plan import Plan
from compiler.pooled import PooledPlan
from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.specs.degrees import resolve
from compiler.specs.expect import Expect
from compiler.specs.hardware import Hardware
from compiler.specs.limits import RANKS
from compiler.specs.workload import ROLES, Pool


def compile_any(config: Config) -> Plan | PooledPlan:
    """Compile one plan, or those of the pools. Raises InvariantError and ConfigError."""
    return compile_config(config) if config.workload.pools is None else compile_pools(config)


def tried(config: Config, *, whole: bool = False) -> tuple[Check, ...]:
    """Its checks; raises what `compile_any` would, or the first of it, as soon as it is known: a fix is tried so.

    `whole`: with projections and claims, which a claim of the user's may be wrong about.
    """
    if config.workload.pools is None and not whole:
        return passes.tried(config)
    return compile_any(config).checks


def compile_pools(config: Config) -> PooledPlan:
    """Compile a configuration with pools. Raises InvariantError with what is broken in both, and ConfigError."""
    checks = list(_declared(config))
    _refuse([found.problem for found in checks if found.status == "fail"])
    pair = list(pool_pair.rules(config, *(pool_config(config, role) for role in ROLES)))
    plans, broken = {}, [found.problem for found in pair if found.status == "fail"]
    checks += pair
    for role in ROLES:
        try:
            plans[role] = compile_config(pool_config(config, role))
        except InvariantError as error:
            broken += [Problem(f"{role}: {problem.what}", problem.instead) for problem in error.problems]
    _refuse(broken)
    verdicts = unjudged(config, "it is about one plan, and prefill and decode are two")
    checks += [replace(found, id=f"{role}.{found.id}") for role in plans for found in plans[role].checks]
    pooled = PooledPlan(config, plans, tuple(checks), verdicts)
    checks += registry.pooled_checks(pooled)
    _refuse([found.problem for found in checks if found.status == "fail"])
    return PooledPlan(config, plans, tuple(checks), verdicts, tuple(_served(plans)))


def _served(plans: Mapping[str, Plan]) -> Iterator[Aggregated]:
    """By the constants of the server that decodes."""
    fill, step = (plans[role] for role in ROLES)
    found, known = measured(step.config)
    if found is not None and not step.config.workload.two_batch_overlap:
        from compiler.costs.pooled import served

        for row in served(fill.world, step.world, found):
            yield sure(row, known)


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvariantError(problems)


def pool_config(config: Config, role: str) -> Config:
    """What one pool declares: the same cluster, model and launch on its own nodes. Nothing starts it alone."""
    pool = _pool(config, role)
    return replace(
        config,
        name=f"{config.plan_name}_{role}",
        parallel=pool.parallel,
        workload=replace(
            config.workload,
            pools=None,
            role=role,
            global_batch_size=pool.global_batch_size or config.workload.global_batch_size,
        ),
        framework=replace(config.framework, instances=pool.instances, args=[*config.framework.args, *pool.args]),
        hardware=_hardware(config, role),
        launch=replace(config.launch, spare_nodes=pool.spare_nodes),
        scheduler={},
        expect=Expect(),
    )


def _pool(config: Config, role: str) -> Pool:
    pools = config.workload.pools
    if pools is None:
        raise ValueError("a configuration without pools")
    found: Pool = pools[role]
    return found


def _ranks(config: Config, role: str) -> int:
    pool = _pool(config, role)
    return resolve(pool.parallel, config.model.moe).world_size * pool.instances


def _nodes(config: Config, role: str) -> int:
    return -(-_ranks(config, role) // config.hardware.node.gpus)


def _hardware(config: Config, role: str) -> Hardware:
    """A pool's nodes. Of pinned hosts prefill has the first, each pool's spares behind its own; else both see the table."""
    hardware, nodes = config.hardware, {name: _nodes(config, name) for name in ROLES}
    wanted = {name: nodes[name] + _pool(config, name).spare_nodes for name in ROLES}
    if hardware.inventory is None:
        return replace(hardware, nodes=nodes[role])
    fits = len(inventory.read(hardware.inventory)) == sum(wanted.values())
    if not (fits if hardware.pin is None else hardware.pin):
        return replace(hardware, nodes=nodes[role], pin=False)
    first = 0 if role == ROLES[0] else wanted[ROLES[0]]
    own = inventory.part(hardware.inventory, first, wanted[role])
    return replace(hardware, nodes=nodes[role], pin=True, inventory=own)


def _declared(config: Config) -> Iterator[Check]:
    """What holds for both pools together."""
    yield from _own_keys(config)
    yield from _filled(config)
    yield from _pinned(config)


def _own_keys(config: Config) -> Iterator[Check]:
    """Keys that are a plan's, and of two pools each has its own."""
    workload, launch = config.workload, config.launch
    yield check(
        "pools-serve",
        not workload.train,
        workload.kind,
        "serve",
        "prefill and decode are phases of serving, and workload.kind is train",
        "write workload=serve, or leave workload.pools out",
    )
    yield check(
        "pools-instances",
        config.framework.instances == 1,
        config.framework.instances,
        1,
        f"framework.instances={config.framework.instances} is of neither pool",
        "write framework.instances=1, and instances of each pool in workload.pools",
    )
    yield check(
        "pools-spares",
        launch.spare_nodes == 0,
        launch.spare_nodes,
        0,
        f"launch.spare_nodes={launch.spare_nodes} is of neither pool, and each keeps its own",
        " or ".join(
            f"launch.spare_nodes=0 workload.pools.{role}.spare_nodes={launch.spare_nodes}" for role in reversed(ROLES)
        ).join(["write ", ""]),
    )


def _filled(config: Config) -> Iterator[Check]:
    """Each pool fills whole nodes, and both the cluster."""
    gpus = config.hardware.node.gpus
    for role in ROLES:
        ranks = _ranks(config, role)
        yield check(
            "pools-nodes",
            ranks % gpus == 0,
            f"{ranks} ranks",
            f"a multiple of {gpus}",
            f"{role} has {ranks} ranks, which leave GPUs of its last node of {gpus} to nobody",
            f"choose degrees and instances of workload.pools.{role} that fill whole nodes",
        )
    nodes = {role: _nodes(config, role) for role in ROLES}
    ranks = sum(_ranks(config, role) for role in ROLES)
    if ranks > RANKS:
        what = f"the pools have {ranks} ranks; a plan has at most {RANKS}"
        yield check("world-size", False, ranks, RANKS, what, f"write pools of at most {RANKS} ranks together")
    total, sizes = sum(nodes.values()), " + ".join(f"{role} {count}" for role, count in nodes.items())
    yield check(
        "pools-world",
        total == config.hardware.nodes,
        total,
        config.hardware.nodes,
        f"the pools take {sizes} = {total} nodes; the cluster has {config.hardware.nodes}",
        f"write hardware.nodes={total}" + "".join(_counts(config, nodes)),
    )


def _counts(config: Config, nodes: dict[str, int]) -> Iterator[str]:
    """Instances of one pool with which both fill the cluster."""
    for role in ROLES:
        left = config.hardware.nodes - sum(nodes.values()) + nodes[role]
        count, rest = divmod(
            left * config.hardware.node.gpus * _pool(config, role).instances, max(_ranks(config, role), 1)
        )
        if count > 0 and not rest:
            yield f" or workload.pools.{role}.instances={count}"


def _pinned(config: Config) -> Iterator[Check]:
    hardware = config.hardware
    if hardware.pin and hardware.inventory is not None:
        count = len(inventory.read(hardware.inventory))
        wanted = sum(_nodes(config, role) + _pool(config, role).spare_nodes for role in ROLES)
        yield check(
            "inventory",
            count == wanted,
            count,
            wanted,
            f"the inventory has {count} hosts, the pools and their spares {wanted}",
            f"pin exactly {wanted} hosts, or write hardware.pin=false",
        )
