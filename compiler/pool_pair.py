"""What prefill and decode must be to each other: the engine's own rules, and the way that KV caches go between their nodes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compiler.checks import Check, Status, check
from compiler.cluster.hosts import known
from compiler.cluster.slots import Slots, from_inventory, nominal
from compiler.frameworks.adapter import adapter
from compiler.specs.config import Config


def rules(config: Config, prefill: Config, decode: Config) -> Iterator[Check]:
    """`prefill` and `decode` are what each pool declares, on nodes of its own of those of `config`."""
    framework = adapter(config.framework.name)
    yield from framework.between(framework.facing(prefill), framework.facing(decode))
    yield from _pods(config, prefill, decode)


def _pods(config: Config, prefill: Config, decode: Config) -> Iterator[Check]:
    """Any server of prefill sends to any of decode, also where a pod lies between. Prefill's nodes come first, and of pinned hosts its
    spares behind them.
    """
    fill, step = prefill.hardware.nodes, decode.hardware.nodes
    first = fill + prefill.launch.spare_nodes * bool(prefill.hardware.pin)
    slots = _slots(config, first + step)
    if slots is None:
        return
    pods = [np.unique(part) for part in (slots.pod[:fill], slots.pod[first : first + step])]
    names = [", ".join(slots.pod_names[pod] for pod in found[:4]) for found in pods]
    several = len(np.union1d(*pods)) > 1
    yield check(
        "pools-pods",
        holds=not several,
        observed=f"{len(pods[0])} and {len(pods[1])} pods",
        limit="one pod",
        message=f"prefill is in pod {names[0]} and decode in pod {names[1]}: KV caches go from any server of the one to any of the other, "
        "between pods too",
        fix="write smaller pools, or one deployment for each pod and a router that keeps requests inside",
        otherwise=Status.WARN,
    )


def _slots(config: Config, count: int) -> Slots | None:
    """Slots of both pools, in order; None where the inventory is too small, which is said elsewhere."""
    hardware = config.hardware
    if hardware.inventory is None:
        return nominal(hardware, count)
    hosts = known(hardware)
    return None if len(hosts) < count else from_inventory(hardware, hosts, count, pin=False)
