"""Names of objects: DNS labels made from a plan's name, within Kubernetes' budget of 63 characters."""

from __future__ import annotations

import hashlib
import re

LABEL = 63
"""Characters of a DNS label: of a Service's name, a label's value, and a pod's host name."""


def dns(name: str) -> str:
    """A DNS-1035 label of any length (lower case, starting with a letter), as Services want it."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return label if label[:1].isalpha() else f"p-{label}"


def within(label: str, limit: int) -> str:
    """The label itself where it fits; else its start and 8 digits of its hash, so that two long ones stay apart."""
    if len(label) <= limit:
        return label
    return f"{label[: limit - 9].rstrip('-')}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def jobs(plan: str, instances: int, nodes: int) -> tuple[str, ...]:
    """A name for each instance's Job: its pods' host names, `<job>-<index>`, must be labels too."""
    index = len(str(nodes - 1)) + 1
    suffixes = [f"-{instance}" for instance in range(instances)] if instances > 1 else [""]
    base = within(dns(plan), LABEL - index - len(suffixes[-1]))
    return tuple(base + suffix for suffix in suffixes)


def config_map(plan: str, digest: str) -> str:
    """A name that changes with the content, as an immutable ConfigMap needs it."""
    return f"{within(dns(plan), LABEL - 11)}-{digest[:10]}"
