"""What a user gives a launch by hand, parsed: secrets, mounts, the time limit; and what of it no target could carry."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.cluster.share import Share
from compiler.errors import ConfigError, Problem
from compiler.schedulers import values
from compiler.schedulers.values import Mount, Secret
from compiler.specs.config import Config
from compiler.specs.launch import Launch
from compiler.specs.site import Site


def parsed(config: Config, share: Share) -> tuple[tuple[Secret, ...], tuple[Mount, ...], int]:
    """Secrets, mounts and the time limit in seconds. Raises ConfigError with these and every other value that is bad."""
    launch, site = config.launch, config.site
    secrets = [values.secret(name, value) for name, value in sorted(launch.secrets.items())]
    mounts = [*_mounts("site.mounts", site.mounts), *_mounts("launch.mounts", launch.mounts)]
    time_limit_s = values.seconds("launch.time_limit", launch.time_limit)
    refused = [value for value in (*secrets, *mounts, time_limit_s) if isinstance(value, Problem)]
    shared = not share.whole and bool(config.framework.instances > 1 or config.hardware.within.nodes or share.taken)
    if refused := [*refused, *_problems(launch, site, shared)]:
        raise ConfigError(refused)
    return (
        tuple(value for value in secrets if isinstance(value, Secret)),
        tuple(value for value in mounts if isinstance(value, Mount)),
        time_limit_s if isinstance(time_limit_s, int) else 0,
    )


def _mounts(key: str, given: list[object]) -> Iterator[Mount | Problem]:
    for index, value in enumerate(given):
        yield values.mount(f"{key}[{index}]", value)


def _problems(launch: Launch, site: Site, shared: bool) -> Iterator[Problem]:
    """`shared`: servers share a node."""
    groups = {
        "site.environment": site.environment,
        "launch.environment": launch.environment,
        "launch.secrets": launch.secrets,
    }
    for key, names in groups.items() if shared else ():
        yield from values.devices(key, names)
    yield from values.environment("site.environment", site.environment)
    yield from values.environment("launch.environment", launch.environment)
    for name in sorted(launch.secrets):
        yield from values.variable("launch.secrets", name)
        if name in launch.environment or name in site.environment:
            yield Problem(f"launch.secrets.{name} is also an environment value", "keep the secret alone")
    for index, argument in enumerate(launch.command or ()):
        yield from values.text(f"launch.command[{index}]", argument)
    if launch.command is not None and not (launch.command and launch.command[0]):
        yield Problem("launch.command names no program", "write a list such as [python3, train.py], or null")
    for key, value in (("workdir", launch.workdir), ("image", launch.image), ("python", launch.python)):
        if value is not None:
            yield from values.text(f"launch.{key}", value)
            if not value.strip():
                yield Problem(f"launch.{key} is empty", "write a value, or leave it out")
