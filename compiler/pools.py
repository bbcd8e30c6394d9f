"""One configuration -> one plan, or one for each pool: the pools' nodes, their parts of the inventory, what both must keep."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from compiler import passes, pool_pair, pool_rules
from compiler.checks import Check, Status
from compiler.claims.judge import unjudged
from compiler.cluster import inventory
from compiler.cluster.hostlist import fold
from compiler.cluster.hosts import known
from compiler.cluster.seating import seated
from compiler.costs.together import Aggregated, sure
from compiler.errors import CompilerError, ConfigError, InvariantError, Problem
from compiler.frameworks.adapter import adapter
from compiler.passes import compile_config, timed_by
from compiler.plan import Plan
from compiler.pool_rules import pool_of
from compiler.pool_words import own_words
from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.specs.expect import Expect
from compiler.specs.hardware import Hardware, Within
from compiler.specs.workload import ROLES, Pool

APART = ("pools-world",)
"""Rules of both pools that hide none of either: a pool has the nodes that it takes, whatever the cluster has."""


def compile_any(config: Config) -> Plan:
    """Compile one plan, or those of the pools. Raises InvariantError and ConfigError."""
    return compile_config(config) if config.workload.pools is None else compile_pools(config)


def tried(config: Config, *, whole: bool = False) -> tuple[Check, ...]:
    """Its checks; raises what `compile_any` would, or the first of it, as soon as it is known: a fix is tried so.

    `whole`: with projections and claims, which a claim of the user's may be wrong about.
    """
    if config.workload.pools is None and not whole:
        return passes.tried(config)
    return compile_any(config).checks


def compile_pools(config: Config) -> Plan:
    """Compile a configuration with pools. Raises InvariantError with what is broken in both, and ConfigError."""
    checks = list(pool_rules.declared(config))
    broken = [found for found in checks if found.status is Status.FAIL]
    if any(found.id not in APART for found in broken):
        _refuse([found.problem for found in broken])
    pair = list(pool_pair.rules(config, *(pool_config(config, role) for role in ROLES)))
    kinds, plans = set[type[CompilerError]](), dict[str, Plan]()
    problems = [found.problem for found in (*broken, *pair) if found.status is Status.FAIL]
    checks += pair
    for role in ROLES:
        try:
            plans[role] = compile_config(pool_config(config, role))
        except CompilerError as error:
            problems += [
                Problem(own_words(config, role, problem.what), problem.instead).of(role) for problem in error.problems
            ]
            kinds.add(type(error))
    _refuse(problems, kinds)
    verdicts = unjudged(config, "it is about one plan, and prefill and decode are two")
    for role, plan in plans.items():
        own = (replace(found, message=own_words(config, role, found.message)) for found in plan.checks)
        checks += [replace(found, id=f"{role}.{found.id}") for found in own]
    parts = {role: plan.only for role, plan in plans.items()}
    checks += registry.checks(Plan(config, parts, tuple(checks), verdicts))
    _refuse([found.problem for found in checks if found.status is Status.FAIL])
    each = {role: plan.checks for role, plan in plans.items()}
    return Plan(config, parts, tuple(checks), verdicts, each, tuple(_served(plans)))


def _served(plans: Mapping[str, Plan]) -> Iterator[Aggregated]:
    """By the constants of the server that decodes."""
    fill, step = (plans[role] for role in ROLES)
    by, known = timed_by(step.config)
    if not step.config.workload.two_batch_overlap:
        from compiler.costs.pooled import served

        for row in served(fill.world, step.world, by):
            yield sure(row, known)


def _refuse(problems: list[Problem], kinds: Collection[type[CompilerError]] = ()) -> None:
    """What is bad in itself goes before what is broken between values, as for one plan."""
    if problems:
        raise (ConfigError if ConfigError in kinds else InvariantError)(problems)


def pool_config(config: Config, role: str) -> Config:
    """What one pool declares: the same cluster, model and launch on its own nodes, and what its server chooses for
    itself. Nothing starts it alone.
    """
    pool, workload = pool_of(config, role), config.workload
    found = replace(
        config,
        name=f"{config.plan_name}_{role}",
        parallel=pool.parallel,
        workload=replace(
            workload,
            pools=None,
            role=role,
            global_batch_size=pool.global_batch_size or workload.global_batch_size,
            draft_tokens=workload.draft_tokens if pool.draft_tokens is None else pool.draft_tokens,
        ),
        framework=replace(config.framework, instances=pool.instances, args=[*config.framework.args, *pool.args]),
        hardware=_hardware(config, role),
        launch=replace(
            config.launch,
            spare_nodes=_spare_nodes(config, pool),
            environment={**config.launch.environment, **pool.environment},
        ),
        scheduler={},
        expect=Expect(),
    )
    return adapter(config.framework.name).alone(found)


def _spare_nodes(config: Config, pool: Pool) -> int:
    """A pool's own; those of both where they are in one allocation."""
    pools = (pool_of(config, role) for role in ROLES) if seated(config).shared else (pool,)
    return sum(each.spare_nodes for each in pools)


def _hardware(config: Config, role: str) -> Hardware:
    """A pool's nodes. Of pinned hosts prefill has the first, each pool's spares behind its own; else both see the table."""
    hardware, places = config.hardware, seated(config)
    place = places[role]
    within = Within(places.nodes, place.first, place.taken_gpus) if places.shared else Within()
    own = replace(hardware, nodes=place.nodes, within=within)
    if hardware.inventory is None:
        return own
    spares = {name: pool_of(config, name).spare_nodes for name in ROLES}
    hosts = [host.host for host in known(hardware)]
    fits = hardware.hosts is not None or len(hosts) == places.nodes + sum(spares.values())
    if not (fits if hardware.pin is None else hardware.pin):
        return replace(own, pin=False, hosts=None)
    if places.shared:
        return replace(own, pin=True)
    before = spares[ROLES[0]] if role == ROLES[1] else 0
    if hardware.hosts is None:
        first = place.first + before
        return replace(
            own, pin=True, inventory=inventory.part(hardware.inventory, hosts[first:][: place.nodes + spares[role]])
        )
    named, left = hosts[place.first :][: place.nodes], hosts[places.nodes + before :][: spares[role]]
    return replace(own, pin=True, hosts=fold(named), inventory=inventory.part(hardware.inventory, [*named, *left]))
