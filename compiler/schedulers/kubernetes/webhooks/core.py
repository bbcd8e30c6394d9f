"""Rules of Kubernetes itself: names, ConfigMaps, Services, Jobs and the pods in all of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from compiler.schedulers.kubernetes.webhooks import Document, Finding

LABEL = 63
CONTAINERS = ("initContainers", "containers")
OBJECT_BYTES = 2**20
CONFIG_MAP_ITEMS = re.compile(r"[A-Za-z0-9._-]{1,253}")
_DNS1035 = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_EXTENDED = re.compile(r"(?!kubernetes\.io/)[^/]+/")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def label(where: str, name: str, limit: int = LABEL) -> Iterator[Finding]:
    """A DNS-1035 label: of a Service, and of what becomes a host name."""
    if len(name) > limit:
        yield where, f"{name} has {len(name)} characters, more than {limit}"
    if not _DNS1035.fullmatch(name):
        yield where, f"{name} is no DNS label that starts with a letter"


def named(item: Document) -> Iterator[Finding]:
    yield from label("metadata.name", item["metadata"]["name"], 253)


def config_map(item: Document) -> Iterator[Finding]:
    values = {**item.get("data", {}), **item.get("binaryData", {})}
    size = sum(len(str(value).encode()) for value in values.values())
    if size > OBJECT_BYTES:
        yield "data", f"holds {size} bytes, more than {OBJECT_BYTES}"
    for key in values:
        if not CONFIG_MAP_ITEMS.fullmatch(key):
            yield "data", f"has the key {key}, which is none"
    if set(item.get("data", {})) & set(item.get("binaryData", {})):
        yield "data", "and binaryData share a key"
    if item.get("immutable") is not True:
        yield "immutable", "is not true: pods would see another plan than they were started for"


def service(item: Document) -> Iterator[Finding]:
    yield from label("metadata.name", item["metadata"]["name"])


def job(item: Document) -> Iterator[Finding]:
    name, spec = item["metadata"]["name"], item["spec"]
    yield from label("metadata.name", f"{name}-{int(spec.get('completions') or 1) - 1}")
    yield from job_spec("spec", spec)


def job_spec(where: str, spec: dict[str, Any]) -> Iterator[Finding]:
    """A Job, on its own or within another controller's object."""
    template = spec["template"]["spec"]
    policy = spec.get("podFailurePolicy")
    if template.get("restartPolicy") not in ("Never", "OnFailure"):
        yield f"{where}.template.spec.restartPolicy", "must be Never or OnFailure in a Job"
    if policy is not None and template.get("restartPolicy") != "Never":
        yield f"{where}.podFailurePolicy", "needs restartPolicy Never"
    if policy is not None and spec.get("podReplacementPolicy", "Failed") != "Failed":
        yield f"{where}.podReplacementPolicy", "must be Failed beside a podFailurePolicy"
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        yield f"{where}.completions", "is required of an Indexed Job"
    for index, rule in enumerate((policy or {}).get("rules", [])):
        yield from _failure_rule(f"{where}.podFailurePolicy.rules[{index}]", rule, template)
    yield from pod(f"{where}.template.spec", template)


def _failure_rule(where: str, rule: dict[str, Any], template: dict[str, Any]) -> Iterator[Finding]:
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    if (codes is None) == (conditions is None):
        yield where, "needs either onExitCodes or onPodConditions"
    if codes is None:
        return
    values = codes["values"]
    if codes["operator"] == "In" and 0 in values:
        yield where, "has exit code 0 among those of a failure"
    if any(after <= before for before, after in pairwise(values)):
        yield where, f"has exit codes {values}, which are not in ascending order, each once"
    named = codes.get("containerName")
    if named not in [None, *(item["name"] for kind in CONTAINERS for item in template.get(kind, []))]:
        yield where, f"names the container {named}, which the pod does not have"


def pod(where: str, spec: dict[str, Any]) -> Iterator[Finding]:
    """One pod's spec."""
    volumes = [volume["name"] for volume in spec.get("volumes", [])]
    yield from _once(f"{where}.volumes", volumes)
    if spec.get("hostNetwork") and spec.get("dnsPolicy") != "ClusterFirstWithHostNet":
        yield f"{where}.dnsPolicy", "must be ClusterFirstWithHostNet with hostNetwork, or no pod finds another"
    claims = {claim["name"] for claim in spec.get("resourceClaims", [])}
    every = [(kind, index, item) for kind in CONTAINERS for index, item in enumerate(spec.get(kind, []))]
    yield from _once(where, [item["name"] for _, _, item in every])
    for kind, index, container in every:
        own = f"{where}.{kind}[{index}]"
        yield from _resources(f"{own}.resources", container.get("resources", {}), claims)
        yield from _environment(f"{own}.env", container.get("env", []))
        mounts = container.get("volumeMounts", [])
        yield from _once(f"{own}.volumeMounts", [mount["mountPath"] for mount in mounts])
        for mount in mounts:
            if mount["name"] not in volumes:
                yield f"{own}.volumeMounts", f"mounts {mount['name']}, which is no volume of the pod"


def _once(where: str, names: Sequence[str]) -> Iterator[Finding]:
    for name, count in Counter(names).items():
        if count > 1:
            yield where, f"has {name} {count} times"


def _resources(where: str, resources: dict[str, Any], claims: set[str]) -> Iterator[Finding]:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for name in sorted({*limits, *requests}):
        if _EXTENDED.match(name) and limits.get(name) != requests.get(name, limits.get(name)):
            yield (
                where,
                f"requests {requests.get(name)} of {name} and is limited to {limits.get(name)}: both must be equal",
            )
        if _EXTENDED.match(name) and not str(limits.get(name)).isdigit():
            yield where, f"asks for {limits.get(name)} of {name}, which is no whole number"
        if name.startswith("hugepages-") and not {"cpu", "memory"} & {*limits, *requests}:
            yield where, f"asks for {name} without CPUs or memory"
    for claim in resources.get("claims", []):
        if claim["name"] not in claims:
            yield where, f"uses the claim {claim['name']}, which the pod does not make"


def _environment(where: str, variables: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """A name once; what a value refers to stands before it, or it would stay as it is written."""
    yield from _once(where, [variable["name"] for variable in variables])
    known: set[str] = {"LWS_LEADER_ADDRESS", "LWS_GROUP_SIZE", "LWS_WORKER_INDEX"}
    for variable in variables:
        if ("value" in variable) == ("valueFrom" in variable):
            yield where, f"gives {variable['name']} not one value"
        for name in _REFERENCE.findall(variable.get("value", "")):
            if name and name not in known:
                yield where, f"uses $({name}) in {variable['name']} before it is declared"
        known.add(variable["name"])


RULES = {"/ConfigMap": config_map, "/Service": service, "batch/Job": job, "resource.nvidia.com/ComputeDomain": named}
