"""Rules of JobSet: the length of what it names, its failure policy, its coordinator, and the Jobs within it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from compiler.schedulers.kubernetes.webhooks import Document, Finding
from compiler.schedulers.kubernetes.webhooks.core import LABEL, job_spec, label

REASONS = frozenset(
    {"BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes", "MaxFailedIndexesExceeded", "PodFailurePolicy"}
)
_RULE = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]{0,126}[A-Za-z0-9_])?")
INT32 = 2**31 - 1


def jobset(item: Document) -> Iterator[Finding]:
    yield from jobset_spec(item["metadata"]["name"], "spec", item["spec"])


def jobset_spec(name: str, where: str, spec: dict[str, Any]) -> Iterator[Finding]:
    """A JobSet's spec, on its own or in a TrainingRuntime; `name` is what its Jobs and pods start with."""
    jobs = {child["name"]: child for child in spec["replicatedJobs"]}
    if len(jobs) < len(spec["replicatedJobs"]):
        yield f"{where}.replicatedJobs", "has a name twice"
    subdomain = spec.get("network", {}).get("subdomain")
    if subdomain is not None:
        yield from label(f"{where}.network.subdomain", subdomain)
    for child in spec["replicatedJobs"]:
        yield from _child(name, f"{where}.replicatedJobs[{child['name']}]", child)
    if spec["replicatedJobs"] and spec["replicatedJobs"][0].get("dependsOn"):
        yield f"{where}.replicatedJobs", "has dependsOn at the first, which nothing stands before"
    targets = spec.get("successPolicy", {}).get("targetReplicatedJobs", [])
    yield from _known(f"{where}.successPolicy", targets, jobs)
    yield from _failure(f"{where}.failurePolicy", spec.get("failurePolicy", {}), jobs)
    if "coordinator" in spec:
        yield from _coordinator(name, f"{where}.coordinator", spec["coordinator"], jobs, subdomain or name)


def _child(name: str, where: str, child: dict[str, Any]) -> Iterator[Finding]:
    spec, replicas = child["template"]["spec"], int(child.get("replicas", 1))
    pods = int(spec.get("completions", 1))
    yield from label(where, f"{name}-{child['name']}-{replicas - 1}-{pods - 1}-abcde")
    if replicas * int(spec.get("parallelism", 1)) > INT32:
        yield where, f"has more than {INT32} pods"
    if "restartPolicy" not in spec["template"]["spec"]:
        yield where, "gives no restartPolicy, and OnFailure is what JobSet then writes"
    yield from job_spec(f"{where}.template.spec", spec)


def _known(where: str, targets: list[str], jobs: dict[str, Any]) -> Iterator[Finding]:
    for target in targets:
        if target not in jobs:
            yield where, f"names the replicated job {target}, which there is not"


def _failure(where: str, policy: dict[str, Any], jobs: dict[str, Any]) -> Iterator[Finding]:
    rules = policy.get("rules", [])
    for rule, count in Counter(rule["name"] for rule in rules).items():
        if not _RULE.fullmatch(rule):
            yield where, f"has a rule {rule!r}: letters, digits and _ , : alone, a letter first, 128 at most"
        if count > 1:
            yield where, f"has the rule {rule} {count} times"
    for rule in rules:
        yield from _known(where, rule.get("targetReplicatedJobs", []), jobs)
        for reason in rule.get("onJobFailureReasons", []):
            if reason not in REASONS:
                yield where, f"names the reason {reason}; Jobs have {', '.join(sorted(REASONS))}"


def _coordinator(
    name: str, where: str, given: dict[str, Any], jobs: dict[str, Any], subdomain: str
) -> Iterator[Finding]:
    job, index, pod = given["replicatedJob"], int(given.get("jobIndex", 0)), int(given.get("podIndex", 0))
    if job not in jobs:
        yield from _known(where, [job], jobs)
        return
    if not 0 <= index < int(jobs[job].get("replicas", 1)):
        yield where, f"names job {index} of {jobs[job].get('replicas', 1)}"
    if not 0 <= pod < int(jobs[job]["template"]["spec"].get("completions", 1)):
        yield where, f"names pod {pod}, which its job does not have"
    value = f"{name}-{job}-{index}-{pod}.{subdomain}"
    if len(value) > LABEL:
        yield where, f"{value} is a label of {len(value)} characters, more than {LABEL}"


RULES = {"jobset.x-k8s.io/JobSet": jobset}
