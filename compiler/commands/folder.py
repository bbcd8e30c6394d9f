"""A plan folder, read back without compiling again: grids, groups, stages, experts and slots from their closed form."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compiler.cluster.hosts import of_plan
from compiler.cluster.inventory import Host
from compiler.cluster.layout import Layout
from compiler.cluster.slots import Slots, from_inventory, nominal
from compiler.commands.whole import holes, mismatches
from compiler.document import SCHEMA
from compiler.errors import ConfigError
from compiler.frozen import dataclass
from compiler.inputs import json_object, table, yaml_mapping
from compiler.inputs.file import text as text_of
from compiler.pooled import SCHEMA as POOLS
from compiler.specs.hardware import Hardware, Node, Nvlink, Within

AGAIN = "compile the plan again"
MOST_BYTES = 2**26
"""Of a file in a plan folder: slots.csv has 50 bytes a slot."""


@dataclass(frozen=True, kw_only=True)
class PlanFolder(Layout):
    """A Layout as a folder says it. `contents` is what plan.json holds; `hosts` are those of its cluster, in the order of slots."""

    path: Path
    contents: Mapping[str, Any]
    hosts: tuple[Host, ...]

    @property
    def spare_hosts(self) -> tuple[Host, ...]:
        """All machines behind the last slot."""
        return self.hosts[self.slots.count :]

    @property
    def name(self) -> str:
        return str(self.contents["name"])


def read(path: Path) -> PlanFolder:
    """Read plan.json, slots.csv and the cluster's shape in config.yaml. Raises ConfigError for what is no plan."""
    contents = _plan_json(path)
    rows, hardware = _slots_csv(path), _hardware(path)
    try:
        cluster = _cluster(hardware, int(contents["slots"]["gpus"]))
        found = PlanFolder.from_dict(
            contents, _slots(rows, cluster), path=path, contents=contents, hosts=of_plan(cluster)
        )
        wrong = [*mismatches(found, contents, len(rows)), *holes(contents)]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise ConfigError.of(f"{path} does not hold a whole plan: {type(error).__name__} {error}", AGAIN) from error
    if wrong:
        raise ConfigError.of(f"{path} does not hold a whole plan: {', '.join(wrong)}", AGAIN)
    return found


def _slots(rows: Sequence[Mapping[str, str]], cluster: Hardware) -> Slots:
    """Hosts, leaves and pods as slots.csv has them; NVLink domains, which it has not, from the declared cluster."""
    leaves = [(row["pod"], row["leaf"]) for row in rows]
    leaf_ids = {leaf: index for index, leaf in enumerate(dict.fromkeys(leaves))}
    pod_ids = {pod: index for index, pod in enumerate(dict.fromkeys(pod for pod, _ in leaves))}
    hosts = tuple(row["host"] for row in rows)
    return replace(
        _declared(cluster, len(rows)),
        leaf=np.array([leaf_ids[leaf] for leaf in leaves], dtype=np.int64),
        pod=np.array([pod_ids[pod] for pod, _ in leaves], dtype=np.int64),
        leaf_names=tuple(leaf for _, leaf in leaf_ids),
        pod_names=tuple(pod_ids),
        hosts=hosts if any(hosts) else (),
    )


def _declared(cluster: Hardware, count: int) -> Slots:
    """Slots of the declared cluster, of which only the NVLink domains are kept."""
    found = of_plan(cluster)
    return from_inventory(cluster, found, count, pin=False) if len(found) >= count else nominal(cluster, count)


def _cluster(hardware: Mapping[str, Any], gpus: int) -> Hardware:
    """What of the declared cluster says where slots are."""
    domain_gpus, hosts = int(hardware["nvlink"]["domain_gpus"]), hardware.get("hosts")
    if gpus < 1 or domain_gpus < 1:
        raise ValueError(f"{gpus} GPUs a node, {domain_gpus} in an NVLink domain")
    return Hardware(
        nodes=int(hardware["nodes"]),
        node=Node(gpus),
        nvlink=Nvlink(domain_gpus),
        inventory=hardware["inventory"],
        hosts=None if hosts is None else str(hosts),
        within=Within(**hardware.get("within", {})),
    )


def _plan_json(path: Path) -> Mapping[str, Any]:
    contents = json_object.read(str(path / "plan.json"), _text(path, "plan.json"), AGAIN)
    if contents.get("schema") == POOLS:
        raise ConfigError.of(f"{path} holds {len(contents.get('pools', ()))} plans", f"write {_plans_in(path)}")
    if contents.get("schema") != SCHEMA:
        raise ConfigError.of(
            f"{path / 'plan.json'} has schema {contents.get('schema')}, this program reads {SCHEMA}", AGAIN
        )
    return contents


def _slots_csv(path: Path) -> list[dict[str, str]]:
    _, rows = table.read(str(path / "slots.csv"), _text(path, "slots.csv"), ("slot", "host", "leaf", "pod"))
    if not rows:
        raise ConfigError.of(f"{path / 'slots.csv'} has no rows of slot,host,leaf,pod", AGAIN)
    return [row for _, row in rows]


def _hardware(path: Path) -> Mapping[str, Any]:
    """`hardware` of config.yaml."""
    found = yaml_mapping.read(str(path / "config.yaml"), _text(path, "config.yaml")).get("hardware")
    if not isinstance(found, dict):
        raise ConfigError.of(f"{path / 'config.yaml'} has no hardware", AGAIN)
    return found


def _text(path: Path, name: str) -> str:
    if not os.path.lexists(path / name):
        raise ConfigError.of(f"{path} is no plan folder: it has no {name}", f"write {_plans_in(path)}")
    return text_of(str(path / name), path / name, AGAIN, MOST_BYTES)


def _plans_in(path: Path) -> str:
    """The plan folders that the user may have meant: those one level below."""
    try:
        found = sorted(str(plan.parent) for plan in path.glob("*/plan.json"))
    except OSError:
        found = []
    return " or ".join(found[:3]) or "a folder that `python -m compiler` wrote, such as out/NAME"
