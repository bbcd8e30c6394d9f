"""The repaired parts of a plan, or of two pools -> the whole configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from compiler.cluster import inventory
from compiler.cluster.hostlist import fold
from compiler.errors import ConfigError
from compiler.plan import Plan
from compiler.repairs.standing import Repaired
from compiler.specs.config import Config
from compiler.specs.workload import ROLES, Pool, Pools


def merged(plan: Plan, done: Mapping[str, Repaired]) -> Config:
    """The whole configuration: the one part's, or that of the pools together. Raises ConfigError where pools share a node."""
    if plan.alone:
        return done[""].part
    config, pools = plan.config, plan.config.workload.pools
    if pools is None or any(part.config.hardware.within.nodes for part in plan.parts.values()):
        raise ConfigError.of(
            "the pools share a node, and a repair would move both", "compile again, with the hosts that are left"
        )
    parts = {role: done[role].part for role in ROLES}
    own = {role: _pool(pools[role], parts[role], plan.parts[role].config) for role in ROLES}
    hardware = replace(config.hardware, nodes=sum(part.hardware.nodes for part in parts.values()))
    if hardware.inventory is not None and all(part.hardware.hosts for part in parts.values()):
        names = [name for role in ROLES for name in (*done[role].hosts, *done[role].spares)]
        hosts = [host for role in ROLES for host in done[role].hosts]
        hardware = replace(hardware, hosts=fold(hosts), inventory=inventory.part(hardware.inventory, names))
    return replace(config, hardware=hardware, workload=replace(config.workload, pools=Pools(**own)))


def _pool(pool: Pool, part: Config, before: Config) -> Pool:
    """What a pool declares, with what its repair changed."""
    batch = part.workload.global_batch_size
    return replace(
        pool,
        parallel=part.parallel,
        instances=part.framework.instances,
        spare_nodes=part.launch.spare_nodes,
        global_batch_size=pool.global_batch_size if batch == before.workload.global_batch_size else batch,
    )
