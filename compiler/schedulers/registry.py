"""Every target there is, found by its module in `targets/`, and the files of those that a plan chose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler import plugins
from compiler.checks import Check
from compiler.errors import ConfigError
from compiler.nearest import one_of
from compiler.render.artifacts import Artifact
from compiler.schedulers import nvrx, runtime_files
from compiler.schedulers.job import Launched, jobs
from compiler.schedulers.target import Target


def names() -> list[str]:
    """Every known target, found without importing any."""
    return plugins.names(plugins.SCHEDULERS)


def target(name: str) -> Target:
    """Load a target. Raises ConfigError for an unknown name."""
    found: Target | None = plugins.load(plugins.SCHEDULERS, name, "TARGET")
    if found is None:
        raise ConfigError.of(f"scheduler={name} is not a known scheduler", one_of(name, names()))
    return found


def choose(chosen: Iterable[str]) -> tuple[Target, ...]:
    """Load the targets of one plan. Raises ConfigError for an unknown name, and for two Kubernetes controllers."""
    targets = tuple(target(name) for name in chosen)
    controllers = [item.name for item in targets if item.kubernetes]
    if len(controllers) > 1:
        raise ConfigError.of(
            f"scheduler has {len(controllers)} Kubernetes controllers, {' and '.join(controllers)}",
            "keep one of them: two would start the plan twice",
        )
    return targets


def checks(plan: Launched) -> Iterator[Check]:
    """What the targets of a plan hold against it. Raises ConfigError for a value that none could carry, and for pools under a
    target that cannot start them.
    """
    options = plan.config.scheduler
    targets = choose(options)
    decided = jobs(plan)  # also where nothing starts them: arguments must not contradict the plan
    if decided.alone is None:
        _refuse_pools(targets)
    yield from decided.each(lambda job: nvrx.checks(job.world))
    for item in targets:
        yield from item.checks(decided, options[item.name])


def _refuse_pools(targets: Iterable[Target]) -> None:
    bad = [item.name for item in targets if not item.pools]
    if bad:
        able = [name for name in names() if target(name).pools]
        raise ConfigError.of(
            f"scheduler={bad[0]} cannot start prefill and decode together",
            "write " + " or ".join(f"scheduler={name}" for name in able),
        )


def asked(plan: Launched) -> dict[str, str]:
    """Target -> the command by which a person asks the server that it runs; none where nothing serves, and for pools."""
    options = plan.config.scheduler
    targets = choose(options)
    decided = jobs(plan).alone if targets else None
    found = {item.name: item.asked(decided, options[item.name]) for item in targets if decided is not None}
    return {name: command for name, command in found.items() if command is not None}


def routed(plan: Launched) -> dict[str, str]:
    """Target -> the command by which a person starts the router of both pools; none where it has none."""
    options = plan.config.scheduler
    targets = choose(options)
    decided = jobs(plan) if targets else None
    found = {item.name: item.routed(decided, options[item.name]) for item in targets if decided is not None}
    return {name: command for name, command in found.items() if command is not None}


def artifacts(plan: Launched) -> Iterator[Artifact]:
    """Every file of the targets in `plan.config.scheduler`, and `runtime/` of each part, in the part's folder.

    A pool by itself has no target: it is started from above.
    """
    options = plan.config.scheduler
    if not options and plan.config.workload.role is None and plan.config.workload.pools is None:
        return
    decided = jobs(plan)
    for part, own in decided.parts:
        yield from (item.within(part) for item in runtime_files.artifacts(own))
    for item in choose(options):
        yield from item.artifacts(decided, options[item.name])
