"""How the ranks' step gets into a container: options and words that its template writes, and what they cannot carry."""

from __future__ import annotations

import re
from collections.abc import Iterator

from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.schedulers.job import Job

MANY_NODES = 64
"""Above, nodes that all import an image from a registry lock each other out."""


@dataclass(frozen=True)
class Container:
    """`mounts` are `source:target:flags` words; the plan and the run folder are added where the job runs."""

    kind: str
    image: str
    mounts: tuple[str, ...]
    options: tuple[str, ...]


def container(job: Job) -> Container | None:
    """None where ranks run on the node itself."""
    kind = job.site.slurm.container
    if job.launch.image is None or kind == "none":
        return None
    files = [(str(secret.file), str(secret.file), True) for secret in job.secret_files]
    given = [*((mount.source, mount.target, mount.read_only) for mount in job.mounts), *files]
    return Container(
        kind=kind,
        image=_pyxis_image(job.launch.image) if kind == "pyxis" else job.launch.image,
        mounts=tuple(f"{source}:{target}:{'ro' if read_only else 'rw'}" for source, target, read_only in given),
        options=tuple(job.site.slurm.container_options),
    )


def _pyxis_image(image: str) -> str:
    """enroot parts a registry from the image by `#`; files start with / or ./ and stay as they are."""
    if image.startswith(("/", "./")) or "#" in image:
        return image
    registry, slash, rest = image.removeprefix("docker://").partition("/")
    return f"{registry}#{rest}" if slash and re.search(r"[.:]|^localhost$", registry) else image


def problems(job: Job) -> Iterator[Problem]:
    """Paths that the container's own syntax takes apart."""
    kind = job.site.slurm.container
    if container(job) is None:
        return
    named: list[tuple[str, tuple[str, ...]]]
    named = [(f"mount {mount.source} -> {mount.target}", (mount.source, mount.target)) for mount in job.mounts]
    named += [(f"launch.secrets.{secret.name}={secret.file}", (str(secret.file),)) for secret in job.secret_files]
    for what, paths in named:
        if any(mark in path for path in paths for mark in ",:"):
            yield Problem(
                f"{what}: a path in a {kind} mount has no comma and no colon, which part mounts there",
                "mount a folder without them",
            )
        if any("\n" in path for path in paths):
            yield Problem(f"{what}: a {kind} mount is one line", "mount a folder without line breaks")
