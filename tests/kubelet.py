"""Objects and pods of a plan's manifests, and what the kubelet does for a pod: its files, and its command."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from tests.controllers import CONTROLLERS, Node, Pod, documents
from tests.manifests import templates
from tests.plans import SmallPlan

BY_SPAWN = [name for name in CONTROLLERS if name != "mpijob"]
"""Controllers under which a pod starts ranks of its own."""


def of_kind(plan: SmallPlan, kind: str) -> list[Node]:
    return [document for document in documents(plan) if document["kind"] == kind]


def the(kind: str, plan: SmallPlan) -> Node:
    (found,) = of_kind(plan, kind)
    return found


def specs(plan: SmallPlan) -> list[Node]:
    """Every pod's spec in the manifests."""
    return [template["spec"] for document in documents(plan) for template in templates(document)]


def unpack(plan: SmallPlan, spec: Node, folder: Path) -> None:
    """Put the ConfigMaps together as the kubelet would."""
    maps = {item["metadata"]["name"]: item for item in of_kind(plan, "ConfigMap")}
    for source in spec["volumes"][0]["projected"]["sources"]:
        shared = maps.pop(source["configMap"]["name"])
        values = {key: value.encode() for key, value in shared.get("data", {}).items()}
        values |= {key: base64.b64decode(value) for key, value in shared.get("binaryData", {}).items()}
        assert sorted(item["key"] for item in source["configMap"]["items"]) == sorted(values)
        for item in source["configMap"]["items"]:
            path = folder / item["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(values[item["key"]])
    assert not maps


def start(pod: Pod, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A pod's own command, here: its plan is in `folder`, and rank 0 is this machine."""
    command = [word.replace(pod.environment["RANKPLAN_PLAN"], str(folder)) for word in pod.command]
    own = {**pod.environment, "MASTER_ADDR": "127.0.0.1", "NODE_NAME": f"n{pod.index}", **environment}
    return subprocess.run(command, env=own, capture_output=True, text=True, check=False, timeout=120)
