"""topograph's `graph`: instances, each with its switches (`network_layers`, nearest first) and the labels of its NVLink domain.

docs/engines/graph.md of topograph 0.5 to 1.1; before 1.0 the domain was `attributes.nvlink`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from compiler.cluster.inventory import Host, is_host
from compiler.cluster.topology.json_lines import line_of, line_of_item
from compiler.cluster.topology.nodes_json import DOMAINS
from compiler.cluster.topology.units import pods
from compiler.errors import ConfigError, short


def read(what: str, text: str, contents: Mapping[str, Any]) -> tuple[Host, ...]:
    """Raises ConfigError with the line of what is wrong."""
    names: list[str] = []
    layers: list[list[str]] = []
    domains: list[str] = []
    for number, instance in enumerate(contents["instances"]):
        name = instance.get("id") if isinstance(instance, dict) else None
        if not isinstance(name, str) or not is_host(name):
            raise ConfigError.of(
                f"{what} line {line_of_item(text, 'instances', number)}: instances[{number}] has no id that is a host's",
                "write what topograph prints",
            )
        names.append(name)
        layers.append(_layers(what, text, name, instance))
        domains.append(_domain(instance))
    if not names:
        raise ConfigError.of(f"{what} line 1: the topology is empty, it has no instance", "list the instances")
    _refuse_twice(what, text, names)
    _refuse_forks(what, text, names, layers)
    rows = zip(names, layers, domains, pods([path[1:] for path in layers]), strict=True)
    return tuple(Host(name, path[0], pod, domain or path[0]) for name, path, domain, pod in rows)


def _layers(what: str, text: str, name: str, instance: Mapping[str, Any]) -> list[str]:
    """Switches of an instance; its NVLink domain where there are none."""
    found = instance.get("network_layers") or [domain for domain in [_domain(instance)] if domain]
    if (
        not isinstance(found, list)
        or not found
        or not all(isinstance(each, str) and each.isprintable() and each for each in found)
    ):
        raise ConfigError.of(
            f"{what} line {line_of(text, name)}: instance {name} has no network_layers",
            "name the switches that it hangs on",
        )
    if len(set(found)) < len(found):
        raise ConfigError.of(
            f"{what} line {line_of(text, name)}: instance {name} meets a switch twice on its way up: {short(' '.join(found))}",
            "name each of its switches once, nearest first",
        )
    return [str(each) for each in found]


def _domain(instance: Mapping[str, Any]) -> str:
    labels, attributes = instance.get("labels"), instance.get("attributes")
    told = {**(attributes if isinstance(attributes, dict) else {}), **(labels if isinstance(labels, dict) else {})}
    return next((str(told[key]) for key in (*DOMAINS, "nvlink") if told.get(key)), "")


def _refuse_twice(what: str, text: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError.of(
                f"{what} line {line_of(text, name, 2)}: instance {name} is listed twice", "list it once"
            )
        seen.add(name)


def _refuse_forks(what: str, text: str, names: list[str], layers: list[list[str]]) -> None:
    """A switch has one way up."""
    above: dict[str, str] = {}
    for name, path in zip(names, layers, strict=True):
        for switch, parent in pairwise(path):
            if above.setdefault(switch, parent) != parent:
                raise ConfigError.of(
                    f"{what} line {line_of(text, name)}: switch {switch} is below {parent}, and of another instance below {above[switch]}",
                    "give each switch one switch above it",
                )
