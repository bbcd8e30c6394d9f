"""What clusters say of their fabric, in the forms of their tools: twelve that are read, and twelve that are broken."""

from __future__ import annotations

import json
from typing import Any

Rows = dict[str, tuple[str, str, str]]
"""Host -> leaf, pod, rack."""


def rows(hosts: str, leaf: str, pod: str, rack: str = "") -> Rows:
    """Hosts of one leaf, whose rack is the leaf where no other is named."""
    return dict.fromkeys(hosts.split(), (leaf, pod, rack or leaf))


def kubectl(labels: dict[str, dict[str, str]], gpus: dict[str, str] | None = None, indent: int = 1) -> str:
    """`kubectl get nodes -o json`; `gpus` is what each node has to allocate."""
    items: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": found},
            "status": {
                "allocatable": {"cpu": "96", **({"nvidia.com/gpu": gpus[name]} if gpus and name in gpus else {})}
            },
        }
        for name, found in labels.items()
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=indent)


def graph(layers: dict[str, list[str]], domains: dict[str, str] | None = None) -> str:
    """topograph's graph."""
    key = "accelerator.topograph.run/domain"
    instances = [
        {"id": name, "network_layers": path, **({"labels": {key: domains[name]}} if domains else {})}
        for name, path in layers.items()
    ]
    return json.dumps({"instances": instances}, indent=1)


EKS = "topology.k8s.aws/network-node-layer-"
TIER = "fabric.topograph.run/tier-"

REAL: dict[str, tuple[str, Rows]] = {
    "topology.conf of a tree of unequal leaves": (
        (
            "# leaves\nSwitchName=s0 Nodes=dev[08-10] LinkSpeed=400\nSwitchName=s1 Nodes=dev[1-2],login-[1-2]x\n"
            "switchname = s3  switches = s[0-1]  # the root\n"
        ),
        rows("dev08 dev09 dev10", "s0", "s3") | rows("dev1 dev2 login-1x login-2x", "s1", "s3"),
    ),
    "topology.conf of a fat tree, whose spines repeat their leaves": (
        (
            "SwitchName=l0 Nodes=a0\nSwitchName=l1 Nodes=b0\nSwitchName=l2 Nodes=c0\nSwitchName=l3 Nodes=d0\n"
            "SwitchName=p0 Switches=l[0-1]\n"
            "SwitchName=p1 Switches=l[0-1]\nSwitchName=p2 Switches=l[2-3]\nSwitchName=p3 Switches=l[2-3]\n"
            "SwitchName=c0 Switches=p[0,2]\nSwitchName=c1 Switches=p[1,3]\n"
        ),
        rows("a0", "l0", "p0") | rows("b0", "l1", "p0") | rows("c0", "l2", "p2") | rows("d0", "l3", "p2"),
    ),
    "topology.conf of blocks": (
        "BlockName=b1 Nodes=n[1-3]\nBlockName=b2 Nodes=n[4-6]\nBlockName=b3 Nodes=n[7-9]\nBlockSizes=3,6\n",
        rows("n1 n2 n3", "b1", "b1-b2") | rows("n4 n5 n6", "b2", "b1-b2") | rows("n7 n8 n9", "b3", "b3"),
    ),
    "topology.conf with switches, and blocks for racks": (
        (
            "SwitchName=l0 Nodes=n[1-4]\nSwitchName=core Switches=l0\n"
            "BlockName=nvl1 Nodes=n[1-2]\nBlockName=nvl2 Nodes=n[3-4]\nBlockSizes=2\n"
        ),
        rows("n1 n2", "l0", "core", "nvl1") | rows("n3 n4", "l0", "core", "nvl2"),
    ),
    "topology.conf of rings, on a line that goes on": (
        "RingName=r0 \\\n  Nodes=n[01-03]\nRingName=r1 Nodes=n[04-05]\n",
        rows("n01 n02 n03", "r0", "") | rows("n04 n05", "r1", ""),
    ),
    "topology.yaml with a default that is a tree of three levels": (
        (
            "---\n- topology: other\n  block:\n    block_sizes: [1]\n    blocks:\n      - block: b\n        nodes: n1\n"
            "- topology: mine\n  cluster_default: true\n  tree:\n    switches:\n      - switch: core\n        children: p[0-1]\n"
            "      - {switch: p0, children: 'l0,l1'}\n      - switch: p1\n        children: l2\n"
            "      - {switch: l0, nodes: n1}\n      - {switch: l1, nodes: 'n[2-3]'}\n      - switch: l2\n        nodes: n4\n"
        ),
        rows("n1", "l0", "p0") | rows("n2 n3", "l1", "p0") | rows("n4", "l2", "p1"),
    ),
    "topology.yaml whose flat default gives way to blocks": (
        (
            "- topology: all\n  cluster_default: true\n  flat: true\n- topology: racks\n  block:\n    block_sizes:\n"
            "      - 2\n      - 4\n    blocks:\n      - {block: b1, nodes: 'n[1-2]'}\n      - {block: b2, nodes: 'n[3-4]'}\n"
        ),
        rows("n1 n2", "b1", "b1-b2") | rows("n3 n4", "b2", "b1-b2"),
    ),
    "topology.yaml of toruses": (
        (
            "- topology: t\n  torus3d:\n    toruses:\n      - name: t0\n        dims: {x: 2, y: 1, z: 1}\n        nodes: n[1-2]\n"
            "      - name: t1\n        dims: {x: 2, y: 2, z: 1}\n        regions:\n"
            "          - {dims: {x: 2, y: 1, z: 1}, anchor: {x: 0, y: 0, z: 0}, nodes: 'n[3-4]'}\n"
        ),
        rows("n1 n2", "t0", "") | rows("n3 n4", "t1.0", ""),
    ),
    "scontrol show topology of a tree": (
        (
            "SwitchName=core Level=1 LinkSpeed=1 Nodes=n[1-4] Switches=l[0-1]\n"
            "SwitchName=l0 Level=0 LinkSpeed=1 Nodes=n[1-2]\nSwitchName=l1 Level=0 LinkSpeed=1 Nodes=n[3-4]\n"
        ),
        rows("n1 n2", "l0", "core") | rows("n3 n4", "l1", "core"),
    ),
    "scontrol show topology of blocks": (
        (
            "BlockName=b1 BlockIndex=0 Nodes=n[1-2] BlockSize=2\nBlockName=b2 BlockIndex=1 Nodes=n[3-4] BlockSize=2\n"
            "AggregatedBlock=b[1-2] BlockIndex=2 Nodes=n[1-4] BlockSize=4\n"
        ),
        rows("n1 n2", "b1", "b[1-2]") | rows("n3 n4", "b2", "b[1-2]"),
    ),
    "kubectl get nodes on EKS, which counts from the top, with a node that has no GPU": (
        kubectl(
            {
                "cp": {},
                "n1": {EKS + "1": "top", EKS + "2": "mid", EKS + "3": "low1"},
                "n2": {EKS + "1": "top", EKS + "2": "mid", EKS + "3": "low2"},
            },
            {"n1": "8", "n2": "8"},
        ),
        rows("n1", "low1", "mid") | rows("n2", "low2", "mid"),
    ),
    "kubectl get nodes with topograph's labels, which count from the bottom": (
        kubectl(
            {
                "n1": {TIER + "0": "leaf", TIER + "1": "spine", "accelerator.topograph.run/domain": "nvl1"},
                "n2": {TIER + "0": "leaf", TIER + "1": "spine", "accelerator.topograph.run/domain": "nvl2"},
            }
        ),
        rows("n1", "leaf", "spine", "nvl1") | rows("n2", "leaf", "spine", "nvl2"),
    ),
    "topograph's graph": (
        graph({"i-1": ["l0", "s0", "core"], "i-2": ["l1", "s1", "core"]}, {"i-1": "nvl1", "i-2": "nvl2"}),
        rows("i-1", "l0", "s0", "nvl1") | rows("i-2", "l1", "s1", "nvl2"),
    ),
}

BROKEN: dict[str, tuple[str, str]] = {
    "a switch that has no name before its next key": ("SwitchName= Switches=s1\n", " line 1: a switch without a name"),
    "a key without a value before the next one": (
        "SwitchName=s0 Nodes= Level=0\n",
        " line 1: switch s0 has no node below it",
    ),
    "a size of blocks that is no number": (
        "BlockName=b1 Nodes=n[1-2]\nBlockSizes=x\n",
        " line 2: block sizes x are not the first one times powers of two",
    ),
    "JSON that breaks off": ("[1,2\n", " line 2 is neither YAML nor JSON"),
    "a misspelt first word": (
        "SwichName=s0 Nodes=n[1-3]\n",
        "line 1 begins with swichname, which declares no part of a topology",
    ),
    "a misspelt first word alone": ("Swichname = s0\n", "line 1 begins with swichname, which declares"),
    "a node on two leaves": (
        "SwitchName=s0 Nodes=n[1-3]\nSwitchName=s1 Nodes=n[3-5]\n",
        "line 2: node n3 hangs on switch s1 and, in line 1, on s0",
    ),
    "a node twice on one": ("RingName=r0 Nodes=n1,n[1-2]\n", "line 1: node n1 hangs twice"),
    "a child that is nowhere": (
        "SwitchName=s0 Nodes=n1\nSwitchName=s1 Switches=s[0,7]\n",
        "line 2: switch s1 has the child s7, which is nowhere declared",
    ),
    "a node that hangs on no leaf": (
        "SwitchName=c Level=1 LinkSpeed=1 Nodes=n[1-3] Switches=l0\nSwitchName=l0 Level=0 LinkSpeed=1 Nodes=n[1-2]\n",
        "line 1: node n3 of switch c hangs on no leaf",
    ),
    "a loop": (
        "SwitchName=l Nodes=n1\nSwitchName=a Switches=l,b\nSwitchName=b Switches=a\n",
        "line 2: switch a is below itself",
    ),
    "nothing but comments": (
        "# topology.conf\n#SwitchName=s0 Nodes=n1\n",
        "line 1: the topology is empty, it names no node",
    ),
    "a leaf without nodes": (
        "SwitchName=s0 Nodes=n1\nSwitchName=s1 Nodes=\n",
        "line 2: switch s1 has no node below it",
    ),
    "a name of two": ("BlockName=b Nodes=n1\nBlockName=b Nodes=n2\n", "line 2: block b was declared in line 1 already"),
    "a host list that is cut off": ("SwitchName=s0 Nodes=n[001-128\n", "line 1: Nodes=n[001-128 has a [ without its ]"),
    "a host list without an end": (
        "SwitchName=s0 Nodes=n[0-99999999999]\n",
        "line 1: Nodes=n[0-99999999999] stands for more than 131,072 names",
    ),
    "a flat topology": ("- topology: f\n  flat: true\n", "line 1: no topology names a node, a flat one has none"),
    "two kinds of topology in one": (
        "- topology: t\n  flat: true\n- topology: u\n  flat: true\n  tree: {switches: []}\n",
        "line 3: topology u has tree and flat",
    ),
    "YAML that is cut off": ("- topology: t\n  tree:\n    switches: [\n", "line 4"),
    "a torus with a hole": (
        "- topology: t\n  torus3d:\n    toruses:\n    - name: t0\n      dims: {x: 2, y: 2, z: 1}\n      nodes: n[1-3]\n",
        "line 4: 2x2x1 = 4 places and 3 nodes",
    ),
    "block sizes of no kind": (
        "BlockName=b1 Nodes=n1\nBlockSizes=18,30\n",
        "line 2: block sizes 18,30 are not the first one times",
    ),
    "a word that says nothing": ("SwitchName=s0 Nodes=n1\nswitch two\n", "line 2: 'switch' is no key=value of Slurm"),
    "a node of Kubernetes without its label": (
        kubectl({"n1": {TIER + "0": "leaf"}, "n2": {}}),
        "line 24: node n2 has no label fabric.topograph.run/tier-0",
    ),
    "a node of Kubernetes that is listed twice": (
        kubectl({"n1": {TIER + "0": "leaf"}}).replace('"items": [', '"items": [{"metadata": {"name": "n1"}},'),
        "line 9: node n1 is listed twice",
    ),
    "nodes with no label that is known": (kubectl({"n1": {"zone": "a"}}), "none of its 1 nodes has a label"),
    "a list of no nodes": ('{"kind": "List", "items": []}', "line 1: it lists no node"),
    "an instance with no switch": (graph({"i-1": []}), "line 4: instance i-1 has no network_layers"),
    "a switch below two": (
        graph({"i-1": ["l0", "s0"], "i-2": ["l0", "s1"]}),
        "line 11: switch l0 is below s1, and of another instance below s0",
    ),
    "a node of Kubernetes without a name": (
        kubectl({"n1": {TIER + "0": "leaf"}, "n2": {}}).replace('"name": "n2",', ""),
        "line 20: items[1] has no name that is a node's",
    ),
    "an instance without an id": (
        graph({"i-1": ["l0"], "i-2": ["l0"]}).replace('"id": "i-2"', '"id": 7'),
        "line 9: instances[1] has no id that is a host's",
    ),
    "more names than any fabric": (
        "".join(f"SwitchName=s{i} Nodes=n{i}x[0-99999]\n" for i in range(30)),
        "line 21: the topology has more than 2,097,152 names up to here",
    ),
    "JSON of something else": ('{"pods": []}', "is JSON with neither nodes of Kubernetes"),
}
