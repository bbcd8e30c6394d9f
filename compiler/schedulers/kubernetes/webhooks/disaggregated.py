"""Rules of DisaggregatedSet: roles, rollouts, placement, names, and the LeaderWorkerSets that are made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.schedulers.kubernetes.webhooks import Document, Finding, findings
from compiler.schedulers.kubernetes.webhooks.core import LABEL, label

EXCLUSIVE = tuple(f"leaderworkerset.sigs.k8s.io/{level}exclusive-topology" for level in ("", "subgroup-"))
REVISION = "0" * 8
"""A hash of the templates, which the controller puts into names."""


def disaggregated_set(item: Document) -> Iterator[Finding]:
    name, spec = item["metadata"]["name"], item["spec"]
    roles, placed = spec["roles"], spec.get("placementPolicy", {}).get("type", "None") != "None"
    yield from label("metadata.name", name)
    if len(roles) < 2:
        yield "spec.roles", f"has {len(roles)}, and needs 2 or more"
    if len({role["name"] for role in roles}) < len(roles):
        yield "spec.roles", "has a name twice"
    counts = [int(role["spec"].get("replicas", 1)) for role in roles]
    if 0 in counts and any(counts):
        yield "spec.roles", f"has {counts} replicas: all must be zero, or none"
    if placed and not spec["placementPolicy"].get("topology"):
        yield "spec.placementPolicy", "names no topology, the label whose domains it is about"
    slices = int(spec.get("slices", 1))
    for role in roles:
        where = f"spec.roles[{role['name']}]"
        yield from _rollout(f"{where}.spec.rolloutStrategy", role["spec"].get("rolloutStrategy", {}))
        if placed and any(key in found for found in _annotations(role) for key in EXCLUSIVE):
            yield where, "has an annotation for exclusive topology beside the placementPolicy"
        yield from _names(where, name, slices, role)
        yield from _child(where, name, slices, role)


def _rollout(where: str, strategy: dict[str, Any]) -> Iterator[Finding]:
    """Roles roll together, by the controller."""
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        yield f"{where}.type", f"is {strategy['type']}, not RollingUpdate"
    if strategy.get("rollingUpdateConfiguration", {}).get("partition"):
        yield where, "has a partition, which a role may not"


def _annotations(role: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Wherever LeaderWorkerSet reads them."""
    template = role["spec"]["leaderWorkerTemplate"]
    for found in (role, template.get("leaderTemplate", {}), template["workerTemplate"]):
        yield found.get("metadata", {}).get("annotations", {})


def _generated(name: str, slices: int, role: dict[str, Any]) -> str:
    return f"{name}-{slices - 1}-{REVISION}-{role['name']}"


def _names(where: str, name: str, slices: int, role: dict[str, Any]) -> Iterator[Finding]:
    """Its Service appends -prv, StatefulSets of workers label their pods `<lws>-<group>-<10 digits of a hash>`."""
    replicas = int(role["spec"].get("replicas", 1))
    longest = len(_generated(name, slices, role)) + max(len("-prv"), 12 + len(str(max(replicas, 1) - 1)))
    if longest > LABEL:
        yield where, f"and the set's name make names of {longest} characters, more than {LABEL}"


def _child(where: str, name: str, slices: int, role: dict[str, Any]) -> Iterator[Finding]:
    """What the webhooks of LeaderWorkerSet and Kueue would say when the controller makes it."""
    metadata = {**role.get("metadata", {}), "name": _generated(name, slices, role)}
    child = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet"}
    for _, (inside, what) in findings({**child, "metadata": metadata, "spec": role["spec"]}):
        yield f"{where}: {inside}", what


RULES = {"disaggregatedset.x-k8s.io/DisaggregatedSet": disaggregated_set}
