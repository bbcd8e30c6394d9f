"""What Kubernetes cannot carry, said when compiling and not by the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from compiler.errors import ConfigError, Problem
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes.names import LABEL
from compiler.schedulers.kubernetes.pod import PLAN, files

OWN_VARIABLES = ("JOB_COMPLETION_INDEX", "NODE_NAME")
CONFIG_MAP_BYTES = 2**20
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,253}")


def refuse(job: Job, options: Any) -> None:
    """Raises ConfigError with every value that is beyond Kubernetes."""
    found = [*_names(options), *_variables(job), *_mounts(job), *_size(job)]
    if found:
        raise ConfigError(found)


def _names(options: Any) -> Iterator[Problem]:
    given = [("namespace", options.namespace), ("queue", options.queue), ("priority_class", options.priority_class)]
    given += [("service_account", options.service_account)]
    given += [("image_pull_secrets", name) for name in options.image_pull_secrets]
    for key, value in given:
        label = key in ("namespace", "queue")
        pattern, limit = (_LABEL, LABEL) if label else (_SUBDOMAIN, 253)
        if value is not None and not (pattern.fullmatch(value) and len(value) <= limit):
            yield Problem(
                f"scheduler.kubernetes_job.{key}={value} is not a Kubernetes name",
                f"write up to {limit} lower-case letters, digits and -",
            )


def _variables(job: Job) -> Iterator[Problem]:
    for name in sorted({name for name, _ in job.environment} | {secret.name for secret in job.secrets}):
        if name in OWN_VARIABLES:
            yield Problem(f"launch.environment.{name} is set on Kubernetes by the pod", "leave it out")
    for secret in job.secrets:
        if secret.secret and not (_SUBDOMAIN.fullmatch(secret.secret) and _KEY.fullmatch(secret.key or "")):
            yield Problem(
                f"launch.secrets.{secret.name} names Secret {secret.secret}, key {secret.key}, which cannot exist",
                "write the name and the key of a Kubernetes Secret",
            )


def _mounts(job: Job) -> Iterator[Problem]:
    taken = {PLAN, "/dev/shm"}  # noqa: S108 - where NCCL looks
    for mount in job.mounts:
        if ":" in mount.target or ".." in mount.source.split("/"):
            yield Problem(
                f"mount {mount.source}:{mount.target} has ':' in its target or '..' in its source, which Kubernetes refuses",
                "write plain paths",
            )
        if mount.target.rstrip("/") in taken:
            yield Problem(f"mount target {mount.target} is taken", "write another target")
        taken.add(mount.target.rstrip("/"))


def _size(job: Job) -> Iterator[Problem]:
    size = sum(len(text.encode()) for text in files(job).values())
    if size > CONFIG_MAP_BYTES - 4096:
        yield Problem(
            f"the pods' ConfigMap would hold {size} bytes, and Kubernetes takes {CONFIG_MAP_BYTES}",
            "shorten launch.environment or launch.command",
        )
