"""Names of objects: DNS labels made from a plan's name, within the budget that each controller's own names leave."""

from __future__ import annotations

import hashlib
import re

from compiler.errors import ConfigError

LABEL = 63
"""Characters of a DNS label: of a Service's name, a label's value, and a pod's host name."""
SHORTEST = 12
"""A start that somebody recognises, and a hash."""


def dns(name: str) -> str:
    """A DNS-1035 label of any length (lower case, starting with a letter), as Services want it.

    A name of lower-case words with _ between them, as plans have it, keeps its words; any other gets 8 digits of its
    hash besides, so that My_Plan, my-plan and my_plan are three, and none is what an instance or a Service is called.
    """
    if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) and not re.search(r"_([0-9]+|http)$", name):
        return name.replace("_", "-")
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    start = label if label[:1].isalpha() else f"p-{label}".rstrip("-")
    return f"{start}-{_hash(name)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def within(label: str, limit: int) -> str:
    """The label itself where it fits; else its start and 8 digits of its hash, so that two long ones stay apart.

    Raises ConfigError where the controller leaves no room for a name.
    """
    if limit < SHORTEST:
        raise ConfigError.of(
            f"the controller's own names leave {limit} of {LABEL} characters for the plan's, which needs {SHORTEST}",
            "use fewer nodes or instances, or another controller",
        )
    if len(label) <= limit:
        return label
    return f"{label[: limit - 9].rstrip('-')}-{_hash(label)}"


def each(plan: str, instances: int, budget: int) -> tuple[str, ...]:
    """A name for each instance's object, of at most `budget` characters."""
    suffixes = [f"-{instance}" for instance in range(instances)] if instances > 1 else [""]
    base = within(dns(plan), budget - len(suffixes[-1]))
    return tuple(base + suffix for suffix in suffixes)


def digits(count: int) -> int:
    """Characters of the largest of `count` indices."""
    return len(str(max(count, 1) - 1))


def indexed_job(nodes: int) -> int:
    """Its pods' host names are `<job>-<index>`."""
    return LABEL - 1 - digits(nodes)


def jobset(shape: dict[str, tuple[int, int]], subdomain: int | None = None) -> int:
    """Its pods are `<js>-<job>-<index>-<index>-abcde`; `shape` is job -> (replicas, completions).

    With a coordinator, whose subdomain has `subdomain` characters, `<js>-<job>-<index>-<index>.<subdomain>` is a label.
    """
    own = max(len(job) + digits(replicas) + digits(pods) + 3 for job, (replicas, pods) in shape.items())
    return LABEL - own - (6 if subdomain is None else max(6, 1 + subdomain))


def trainjob(nodes: int) -> int:
    """A JobSet of one Job, which Kubeflow's trainer calls `node`."""
    return jobset({"node": (1, nodes)})


def lws(instances: int, *, kueue: bool) -> int:
    """The webhook's limit is 51 with one digit of groups; Kueue's workloads take 12 characters more.

    Workers' StatefulSets label pods `<lws>-<group>-<10 digits of a hash>`: where that is no label, no worker starts.
    """
    return min((39 if kueue else 51) - (digits(instances) - 1), LABEL - 12 - digits(instances))


def disaggregated(role: str, instances: int, *, kueue: bool) -> int:
    """A DisaggregatedSet's LeaderWorkerSets are `<set>-<slice>-<8 digits of a hash>-<role>`."""
    return lws(instances, kueue=kueue) - len("-0-12345678-") - len(role)


def volcano(task: str, nodes: int) -> int:
    """Its pods are `<job>-<task>-<index>`; where that is no label they stay Pending for ever."""
    return LABEL - 2 - len(task) - digits(nodes)


def mpijob(nodes: int) -> int:
    """Its workers are `<job>-worker-<index>`, its launcher is `<job>-launcher`."""
    return LABEL - max(len("-worker-") + digits(nodes), len("-launcher"))


def config_map(plan: str, digest: str, index: int) -> str:
    """A name that changes with the content, as an immutable ConfigMap needs it."""
    suffix = f"-{digest[:10]}" + (f"-{index}" if index else "")
    return within(dns(plan), LABEL - len(suffix)) + suffix


def label(plan: str) -> str:
    """The plan's name as the value of a label."""
    return within(dns(plan), LABEL)
