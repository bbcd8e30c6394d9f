"""What holds for two pools together: whose keys are whose, the nodes that both fill, the hosts that they are pinned to."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, failed
from compiler.cluster import inventory
from compiler.cluster.seating import Seating, seated
from compiler.invariants.world_size import idle
from compiler.specs.config import Config
from compiler.specs.degrees import resolve
from compiler.specs.limits import RANKS
from compiler.specs.workload import ROLES, Pool


def declared(config: Config) -> Iterator[Check]:
    """What holds for both pools together."""
    yield from _own_keys(config)
    yield from _filled(config)
    yield from _pinned(config)


def _own_keys(config: Config) -> Iterator[Check]:
    """Keys that are a plan's, and of two pools each has its own."""
    workload, launch = config.workload, config.launch
    yield check(
        "pools-serve",
        holds=not workload.train,
        observed=workload.kind,
        limit="serve",
        message="prefill and decode are phases of serving, and workload.kind is train",
        fix="write workload=serve, or leave workload.pools out",
    )
    yield check(
        "pools-instances",
        holds=config.framework.instances == 1,
        observed=config.framework.instances,
        limit=1,
        message=f"framework.instances={config.framework.instances} is of neither pool",
        fix="write framework.instances=1, and instances of each pool in workload.pools",
    )
    yield check(
        "pools-spares",
        holds=launch.spare_nodes == 0,
        observed=launch.spare_nodes,
        limit=0,
        message=f"launch.spare_nodes={launch.spare_nodes} is of neither pool, and each keeps its own",
        fix=" or ".join(
            f"launch.spare_nodes=0 workload.pools.{role}.spare_nodes={launch.spare_nodes}" for role in reversed(ROLES)
        ).join(["write ", ""]),
    )


def _filled(config: Config) -> Iterator[Check]:
    """Both pools have a rank on every node of the cluster."""
    places = seated(config)
    ranks = sum(ranks_of(config, role) for role in ROLES)
    if ranks > RANKS:
        what = f"the pools have {ranks} ranks; a plan has at most {RANKS}"
        yield failed(
            "world-size",
            observed=ranks,
            limit=RANKS,
            message=what,
            fix=f"write pools of at most {RANKS} ranks together",
        )
    sizes = f"prefill {places.prefill.nodes} + decode {places.decode.nodes}"
    shared = f", {places.shared} of them of both" * (places.shared > 0)
    yield check(
        "pools-world",
        holds=places.nodes == config.hardware.nodes,
        observed=places.nodes,
        limit=config.hardware.nodes,
        message=f"the pools take {sizes} = {places.nodes} nodes{shared}; the cluster has {config.hardware.nodes}",
        fix=f"write hardware.nodes={places.nodes}" + "".join(_counts(config, places)),
    )
    if places.shared:
        yield from _shared(config)


def _shared(config: Config) -> Iterator[Check]:
    """Spares stand behind the nodes of both, and GPUs that neither has are nobody's."""
    spares = [pool_of(config, role).spare_nodes for role in ROLES]
    yield check(
        "pools-spares",
        holds=spares[0] == 0,
        observed=spares[0],
        limit=0,
        message=f"the pools share a node, and prefill's {spares[0]} spare nodes would lie between them",
        fix=f"write workload.pools.prefill.spare_nodes=0 workload.pools.decode.spare_nodes={sum(spares)}",
    )
    yield from idle(sum(ranks_of(config, role) for role in ROLES), config.hardware)


def _counts(config: Config, places: Seating) -> Iterator[str]:
    """Instances of one pool with which both fill the cluster."""
    for role in ROLES:
        left = config.hardware.nodes - places.nodes + places[role].nodes
        count, rest = divmod(
            left * config.hardware.node.gpus * pool_of(config, role).instances, max(ranks_of(config, role), 1)
        )
        if count > 0 and not rest:
            yield f" or workload.pools.{role}.instances={count}"


def _pinned(config: Config) -> Iterator[Check]:
    hardware = config.hardware
    if hardware.pin and hardware.inventory is not None:
        count = len(inventory.read(hardware.inventory))
        wanted = seated(config).nodes + sum(pool_of(config, role).spare_nodes for role in ROLES)
        yield check(
            "inventory",
            holds=count == wanted,
            observed=count,
            limit=wanted,
            message=f"the inventory has {count} hosts, the pools and their spares {wanted}",
            fix=f"pin exactly {wanted} hosts, or write hardware.pin=false",
        )


def pool_of(config: Config, role: str) -> Pool:
    pools = config.workload.pools
    if pools is None:
        raise ValueError("a configuration without pools")
    found: Pool = pools[role]
    return found


def ranks_of(config: Config, role: str) -> int:
    pool = pool_of(config, role)
    return resolve(pool.parallel, config.model.moe).world_size * pool.instances
