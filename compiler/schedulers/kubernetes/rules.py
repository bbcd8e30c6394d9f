"""What Kubernetes cannot carry, said when compiling and not by the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from compiler.errors import ConfigError, Problem, short
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes.container import PLAN
from compiler.schedulers.kubernetes.names import LABEL
from compiler.schedulers.kubernetes.plan_files import OBJECT_BYTES, PART_BYTES, texts

OWN_VARIABLES = frozenset({"JOB_COMPLETION_INDEX", "JOB_INDEX", "GROUP_INDEX", "NODE_NAME"})
OWN_PREFIXES = ("LWS_", "VC_", "VK_", "PET_", "OMPI_")
LABELS = ("namespace", "queue")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,253}")
_QUALIFIED = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def refuse(target: str, job: Job, options: Any) -> None:
    """Raises ConfigError with every value that is beyond Kubernetes."""
    found = [
        *_names(target, options),
        *_site(job),
        *_variables(job),
        *_mounts(job),
        *_texts(target, options),
        *_size(job),
    ]
    if found:
        raise ConfigError(found)


def _names(target: str, options: Any) -> Iterator[Problem]:
    """Objects that must exist already."""
    given = asdict(options)
    single = ("namespace", "queue", "queue_priority", "priority_class", "service_account")
    named = [(key, given[key]) for key in single if key in given]
    named += [("image_pull_secrets", name) for name in options.image_pull_secrets]
    for key, value in named:
        pattern, limit = (_LABEL, LABEL) if key in LABELS else (_SUBDOMAIN, 253)
        if value is not None and not (pattern.fullmatch(value) and len(value) <= limit):
            yield Problem(
                f"scheduler.{target}.{key}={value} is not a Kubernetes name",
                f"write up to {limit} lower-case letters, digits and -",
            )


def _site(job: Job) -> Iterator[Problem]:
    """Labels and annotations of a site, and names of its resources."""
    site = job.site.kubernetes
    keys = [("node_selector", name) for name in site.node_selector]
    keys += [("pod_annotations", name) for name in site.pod_annotations]
    keys += [("gpu_resource", site.gpu_resource)]
    keys += [("rdma_resource", name) for name in [site.rdma_resource] if name is not None]
    keys += [(f"topology.{level}", key) for level, key in asdict(site.topology).items() if key is not None]
    for where, name in keys:
        if not _QUALIFIED.fullmatch(name):
            yield Problem(
                f"site.kubernetes.{where} has {short(repr(name))}, which is no name of Kubernetes", "write PREFIX/NAME"
            )
    for name, value in site.node_selector.items():
        if not re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", value):
            yield Problem(
                f"site.kubernetes.node_selector.{name}={short(value)} is no value of a label", "write up to 63 letters"
            )


def _variables(job: Job) -> Iterator[Problem]:
    for name in sorted({name for name, _ in job.environment} | {secret.name for secret in job.secrets}):
        if name in OWN_VARIABLES or name.startswith(OWN_PREFIXES):
            yield Problem(f"launch.environment.{name} is set on Kubernetes by the pod", "leave it out")
    for secret in job.secrets:
        if secret.secret and not (_SUBDOMAIN.fullmatch(secret.secret) and _KEY.fullmatch(secret.key or "")):
            yield Problem(
                f"launch.secrets.{secret.name} names a Secret or a key that cannot exist",
                "write the name and the key of a Kubernetes Secret, never what it holds",
            )


def _mounts(job: Job) -> Iterator[Problem]:
    taken = {PLAN, "/dev/shm"} | ({"/tmp"} if job.site.kubernetes.read_only_root else set())  # noqa: S108 - our own mounts
    for mount in job.mounts:
        if ":" in mount.target or ".." in mount.source.split("/"):
            yield Problem(
                f"mount {mount.source}:{mount.target} has ':' in its target or '..' in its source, which Kubernetes refuses",
                "write plain paths",
            )
        if mount.target.rstrip("/") in taken:
            yield Problem(f"mount target {mount.target} is taken", "write another target")
        taken.add(mount.target.rstrip("/"))


def _texts(target: str, options: Any) -> Iterator[Problem]:
    """Programs that an image must have."""
    for key in ("sshd", "mpirun"):
        command = asdict(options).get(key, ["-"])
        if not command or not all(word and "\0" not in word for word in command):
            yield Problem(f"scheduler.{target}.{key} names no program", "write a list such as [mpirun]")


def _size(job: Job) -> Iterator[Problem]:
    for file in texts(job):
        if file.size > PART_BYTES:
            yield Problem(
                f"{file.path} would be {file.size} bytes of a ConfigMap, and Kubernetes takes {OBJECT_BYTES} at most",
                f"shorten launch.environment or launch.command: {PART_BYTES} bytes leave room for the rest",
            )
