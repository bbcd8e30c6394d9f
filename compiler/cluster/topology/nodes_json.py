"""`kubectl get nodes -o json`: nodes and the labels that say where they hang.

The site names the labels. Where it names none they are looked for by the names that clouds and tools give them; each family
counts its own way, and the first of a family is the leaf here, the second the pod.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from compiler.cluster.inventory import Host, is_host
from compiler.cluster.topology.json_lines import line_of, line_of_item
from compiler.errors import ConfigError, short
from compiler.frozen import dataclass
from compiler.words import whole

FAMILIES: tuple[tuple[str, ...], ...] = (
    *[tuple(f"topology.k8s.aws/network-node-layer-{n}" for n in range(most, 0, -1)) for most in (4, 3, 2)],
    tuple(f"fabric.topograph.run/tier-{n}" for n in range(4)),
    tuple(f"network.topology.nvidia.com/{name}" for name in ("leaf", "spine", "core")),
    ("cloud.google.com/gce-topology-subblock", "cloud.google.com/gce-topology-block"),
    ("backend.coreweave.cloud/leafgroup", "backend.coreweave.cloud/fabric"),
)
"""Nearest first: EKS counts from the top (AWS: EC2 instance topology as labels), topograph from the bottom (its docs/engines/k8s.md)."""
DOMAINS = (
    *("accelerator.topograph.run/domain", "network.topology.nvidia.com/accelerator"),
    *("nvidia.com/gpu.clique", "cloud.google.com/gce-topology-subblock"),
)
"""NVLink domains, likewise."""


@dataclass(frozen=True)
class Labels:
    """The resource that GPUs are, and the site's labels of nodes, None where it names none."""

    gpus: str
    domain: str | None
    leaf: str | None
    pod: str | None


def read(what: str, text: str, contents: Mapping[str, Any], site: Labels) -> tuple[Host, ...]:
    """Nodes with GPUs, or all where none says. Raises ConfigError with the line of what is wrong."""
    nodes = _with_gpus(_nodes(what, text, contents), site.gpus)
    if not nodes:
        raise ConfigError.of(f"{what} line 1: it lists no node", "run kubectl get nodes -o json where nodes are")
    labels = [labels for _, labels, _ in nodes]
    family = _family(labels) if site.leaf is None else []
    domain = site.domain or next((key for key in DOMAINS if any(key in found for found in labels)), None)
    leaf = site.leaf or next(iter(family), domain)
    if leaf is None:
        raise ConfigError.of(
            f"{what} line 1: none of its {len(nodes)} nodes has a label that is known to name a leaf",
            "write site.kubernetes.topology.leaf=LABEL",
        )
    pod = site.pod or next(iter(family[1:]), None)
    hosts = (_host(what, text, name, found, (leaf, pod, domain)) for name, found, _ in nodes)
    return tuple(
        replace(host, gpus=whole(str(room.get(site.gpus, "")))) for host, (_, _, room) in zip(hosts, nodes, strict=True)
    )


def _nodes(what: str, text: str, contents: Mapping[str, Any]) -> list[tuple[str, Mapping[str, str], Mapping[str, Any]]]:
    """Name, labels and what can be allocated of each."""
    items = contents.get("items") if contents["kind"] != "Node" else [contents]
    found: dict[str, tuple[str, Mapping[str, str], Mapping[str, Any]]] = {}
    for number, item in enumerate(items if isinstance(items, list) else ()):
        metadata = item.get("metadata") if isinstance(item, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str) or not is_host(name):
            raise ConfigError.of(
                f"{what} line {line_of_item(text, 'items', number)}: items[{number}] has no name that is a node's",
                "write what kubectl prints",
            )
        if item.get("kind", "Node") != "Node":
            raise ConfigError.of(
                f"{what} line {line_of(text, name)}: {short(name)} is a {short(item['kind'])}, no Node",
                "write the output of kubectl get nodes -o json",
            )
        if name in found:
            raise ConfigError.of(f"{what} line {line_of(text, name, 2)}: node {name} is listed twice", "list it once")
        labels = metadata.get("labels") if isinstance(metadata, dict) else None
        status = item.get("status")
        room = status.get("allocatable") if isinstance(status, dict) else None
        found[name] = (name, labels if isinstance(labels, dict) else {}, room if isinstance(room, dict) else {})
    return list(found.values())


def _with_gpus(nodes: list[Any], gpus: str) -> list[Any]:
    """Those that have some, where any says so: the control plane is a node too."""
    having = [node for node in nodes if str(node[2].get(gpus, "0")) not in ("", "0")]
    return having or nodes


def _family(labels: Sequence[Mapping[str, str]]) -> list[str]:
    """Keys of the first family whose nearest label is there."""
    for family in FAMILIES:
        if any(family[0] in found for found in labels):
            return [key for key in family if any(key in found for found in labels)]
    return []


def _host(what: str, text: str, name: str, labels: Mapping[str, str], keys: tuple[str, str | None, str | None]) -> Host:
    leaf, pod, domain = (_value(what, text, name, labels, key) for key in keys)
    return Host(name, leaf, pod, domain or leaf)


def _value(what: str, text: str, name: str, labels: Mapping[str, str], key: str | None) -> str:
    """A label's value; empty where no label is asked for."""
    if key is None:
        return ""
    found = labels.get(key)
    if not isinstance(found, str) or not re.fullmatch(r"[^\x00-\x1f\x7f]{1,253}", found):
        raise ConfigError.of(
            f"{what} line {line_of(text, name)}: node {name} has no label {key}",
            "label it, or take it out of the list",
        )
    return found
