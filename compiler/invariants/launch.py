"""What hurts at launch time: hosts, spares, device names, limits."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator

from compiler.checks import Check, Status, check, failed, warned
from compiler.cluster import inventory
from compiler.cluster.hosts import names
from compiler.errors import short
from compiler.invariants.registry import declared
from compiler.specs.config import Config

_DEVICE = re.compile(r"[A-Za-z0-9._-]+")


@declared("inventory")
def hosts(config: Config) -> Iterator[Check]:
    """A pinned plan names exactly its hosts; any inventory has enough of them."""
    hardware, spares = config.hardware, config.launch.spare_nodes
    if hardware.inventory is None:
        if hardware.pin or hardware.hosts is not None:
            yield check(
                "inventory",
                holds=False,
                observed="no inventory",
                limit="hosts",
                message=f"hardware.{'pin=true' if hardware.pin else 'hosts'} has no hosts to pin",
                fix=f"write hardware.{'pin=false' if hardware.pin else 'hosts=null'}, or hardware.inventory=FILE",
            )
        return
    yield from _named(config)
    count, own = len(inventory.read(hardware.inventory)), hardware.within.nodes or hardware.nodes
    wanted = own + spares
    yield check(
        holds=count == wanted if hardware.pin else count >= wanted,
        observed=count,
        limit=wanted,
        message=f"the inventory has {count} hosts, the plan {own} nodes + {spares} spares = {wanted}",
        fix=f"pin exactly {wanted} hosts, or write hardware.pin=false"
        if hardware.pin
        else f"list at least {wanted} hosts" + f", or write hardware.nodes={count - spares}" * (count > spares),
    )


@declared("inventory-gpus")
def equipped(config: Config) -> Iterator[Check]:
    """Hosts whose GPUs a table counts, as `kubectl get nodes` does, have as many as a node of the plan."""
    wanted = config.hardware.node.gpus
    known = inventory.read(config.hardware.inventory) if config.hardware.inventory is not None else ()
    counted = [host for host in known if host.gpus is not None]
    fewer = [host for host in counted if (host.gpus or 0) < wanted]
    if counted:
        yield check(
            holds=not fewer,
            observed=f"{len(fewer)} hosts",
            limit=f"{wanted} GPUs each",
            message=f"{len(fewer)} of {len(known)} hosts of the inventory have fewer GPUs than a node of the plan, which has {wanted}: "
            + short(", ".join(f"{host.host} {host.gpus}" for host in fewer) or "none"),
            fix=f"leave them out of the inventory, or write hardware.node.gpus={min((host.gpus or 1 for host in fewer), default=wanted)}",
            otherwise=Status.WARN,
        )


def _named(config: Config) -> Iterator[Check]:
    """Hosts that are named one by one are a host of the inventory for each node."""
    hardware = config.hardware
    if hardware.hosts is None or hardware.inventory is None:
        return
    named = names(hardware.hosts)
    known = {host.host for host in inventory.read(hardware.inventory)}
    wrong = [name for name in named if name not in known] + [
        name for name, times in Counter(named).items() if times > 1
    ]
    own = hardware.within.nodes or hardware.nodes
    yield check(
        "hosts",
        holds=not wrong and len(named) == own,
        observed=wrong[0] if wrong else len(named),
        limit=own,
        message=f"hardware.hosts names {short(wrong[0])}, which the inventory {'lists once' if wrong[0] in known else 'does not list'}"
        if wrong
        else f"hardware.hosts names {len(named)} hosts, the plan has {own} nodes",
        fix="write hardware.hosts=null, or a host of the inventory for each node, in the order of slots",
    )


@declared("nccl-device-names")
def device_names(config: Config) -> Iterator[Check]:
    """NCCL matches device names by prefix: mlx5_1 also takes mlx5_10 unless the list starts with =."""
    merged = config.environment
    for name in ("NCCL_IB_HCA", "NCCL_SOCKET_IFNAME"):
        value = merged.get(name)
        if value:
            yield check(
                holds=value.startswith(("=", "^=")),
                observed=value,
                limit=f"={value}",
                message=f"{name}={value} matches every device whose name starts so",
                fix=f"write {_word(f'launch.environment.{name}', f'={value}'.replace('=^', '^='))} for exactly those",
                otherwise=Status.WARN,
            )


def _word(key: str, value: str) -> str:
    """An override as one word of a shell, whose value Hydra takes as a text: it would not read one that begins with =."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'{key}="{escaped}"')


@declared("checkpoint-signal")
def time_limit(config: Config) -> Iterator[Check]:
    """A checkpoint needs its time before the limit."""
    launch = config.launch
    match = re.fullmatch(r"([0-9]{1,4}):([0-5][0-9]):([0-5][0-9])", launch.time_limit)
    if match:
        seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
        yield check(
            holds=launch.checkpoint_signal_s < seconds,
            observed=launch.checkpoint_signal_s,
            limit=seconds,
            message=f"the checkpoint signal comes {launch.checkpoint_signal_s} s before a limit of {seconds} s",
            fix=f"write launch.time_limit={_clock(2 * launch.checkpoint_signal_s)}, or launch.checkpoint_signal_s={seconds // 2}",
        )


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


@declared("slurm-containers")
def containers(config: Config) -> Iterator[Check]:
    """What only a container can have must not be dropped without a word where Slurm runs ranks on the bare node."""
    kind = config.site.slurm.container
    if "slurm" not in config.scheduler or (kind != "none" and config.launch.image is not None):
        return
    given = [f"launch.image={config.launch.image}"] if config.launch.image is not None else []
    given += ["launch.mounts"] * bool(config.launch.mounts) + ["site.mounts"] * bool(config.site.mounts)
    if given:
        yield warned(
            observed=", ".join(given),
            limit="none",
            message=f"{' and '.join(given)} has no effect under scheduler=slurm, which runs the command on the node itself",
            fix="start the container in launch.command, or write site.slurm.container=pyxis"
            if kind == "none"
            else "write launch.image=...",
        )


@declared("site-devices")
def devices(config: Config) -> Iterator[Check]:
    """A site names all cards of a node, and the NUMA node of all its GPUs, or none."""
    site, hardware = config.site, config.hardware
    for key, given, wanted, what in (
        ("site.nics", len(site.nics), hardware.nic.per_node, "network cards"),
        ("site.numa", len(site.numa), hardware.node.gpus, "GPUs"),
    ):
        if given:
            yield check(
                holds=given == wanted,
                observed=given,
                limit=wanted,
                message=f"{key} has {given} entries, and a node of {hardware.name} has {wanted} {what}",
                fix=f"write {wanted} entries, or leave {key} out",
            )
    odd = [name for name in site.nics if not _DEVICE.fullmatch(name)]
    if odd:
        yield failed(
            observed=", ".join(odd),
            limit="device names",
            message=f"site.nics holds {', '.join(map(repr, odd))}, and a device name has letters, digits, ., _ and - only",
            fix="write names as under /sys/class/infiniband",
        )
