"""What a cluster says of its fabric, in the forms that Slurm, Kubernetes and topograph write it -> the table of hosts."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict
from functools import lru_cache

from compiler.cluster.inventory import GPUS, REQUIRED, Host
from compiler.cluster.topology import graph_json, nodes_json, slurm_lines, slurm_yaml
from compiler.cluster.topology.nodes_json import Labels
from compiler.errors import ConfigError
from compiler.inputs import json_object
from compiler.specs.site import KubernetesSite

FORMS = "a CSV of host,leaf,pod,rack, Slurm's topology.conf or topology.yaml, `kubectl get nodes -o json` or topograph's graph"


_KEY_VALUE = re.compile(r"\w+\s*=[^,]*(\s\w+\s*=|$)")
"""A misspelt keyword of Slurm's: no header of a table has an equals sign before its first comma."""


@lru_cache(maxsize=1)
def _table(what: str, text: str, kind: str, labels: Labels) -> str:
    if kind == "json":
        hosts = _json(what, text, labels)
    else:
        hosts = (slurm_yaml if kind == "yaml" else slurm_lines).read(what, text)
    found = io.StringIO()
    writer = csv.writer(found, lineterminator="\n")
    columns = [*REQUIRED, *[GPUS] * any(host.gpus is not None for host in hosts)]
    writer.writerow(columns)
    writer.writerows([getattr(host, name) for name in columns] for host in hosts)
    return found.getvalue()


def table(what: str, text: str, site: KubernetesSite) -> str:
    """The text as it is where it is a table of hosts, else the table that it stands for; told apart by content.

    `what` is what a message calls the file, `site` names labels of nodes. Raises ConfigError with the line that is wrong.
    """
    kind = _kind(text)
    if kind == "csv":
        return text
    return _table(what, text, kind, Labels(site.gpu_resource, **asdict(site.topology)))


def _kind(text: str) -> str:
    """By the first line that says something. What is nothing else is a CSV, whose reader says what it lacks."""
    comments = False
    for line in text.split("\n"):
        word = line.strip()
        if not word or word.startswith(("#", "---", "%YAML")):
            comments |= bool(word)
            continue
        if word.startswith("{"):
            return "json"
        if re.match(r"-(\s|$)|\[|topology\s*:", word):
            return "yaml"
        return "lines" if slurm_lines.KEYWORD.match(word) or _KEY_VALUE.match(word) else "csv"
    return "lines" if comments else "csv"


def _json(what: str, text: str, labels: Labels) -> tuple[Host, ...]:
    contents = json_object.read(what, text, f"write {FORMS}", checked=False)
    if isinstance(contents.get("instances"), list):
        return graph_json.read(what, text, contents)
    if contents.get("kind") in ("List", "NodeList", "Node"):
        return nodes_json.read(what, text, contents, labels)
    raise ConfigError.of(
        f"{what} line 1 is JSON with neither nodes of Kubernetes (kind: List) nor instances of topograph",
        f"write {FORMS}",
    )
