"""NVIDIA's ComputeDomain: the nodes of an instance that may reach each other's memory over multi-node NVLink."""

from __future__ import annotations

from typing import Any

from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes.objects import Node, metadata


def claim(name: str, job: Job) -> str | None:
    """The claim template that the driver makes for a domain; None at a site without domains."""
    return f"{name}-channel" if job.site.kubernetes.compute_domain else None


def domains(name: str, job: Job, options: Any) -> list[Node]:
    """One for a set of pods, where the site has them: how many nodes it has, the driver (v1beta2) finds from the pods that
    claim it. Nodes of several racks are a domain within each.
    """
    template = claim(name, job)
    if template is None:
        return []
    spec = {"channel": {"resourceClaimTemplate": {"name": template}}}
    kind = {"apiVersion": "resource.nvidia.com/v1beta2", "kind": "ComputeDomain"}
    return [{**kind, "metadata": metadata(name, job, options), "spec": spec}]
