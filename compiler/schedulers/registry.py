"""Every target there is, found by its module in `targets/`, and the files of those that a plan chose."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import replace

from compiler.checks import Check
from compiler.errors import ConfigError, Problem
from compiler.nearest import one_of
from compiler.pool_words import own_words
from compiler.render.artifacts import Artifact
from compiler.schedulers import job, runtime_files
from compiler.schedulers.job import Planned, PooledJob, PooledPlanned
from compiler.schedulers.target import Target


def names() -> list[str]:
    """Every known target, found without importing any."""
    package = importlib.import_module("compiler.schedulers.targets")
    return sorted(item.name for item in pkgutil.iter_modules(package.__path__))


def target(name: str) -> Target:
    """Load a target. Raises ConfigError for an unknown name."""
    if name not in names():
        raise ConfigError.of(f"scheduler={name} is not a known scheduler", one_of(name, names()))
    found: Target = importlib.import_module(f"compiler.schedulers.targets.{name}").TARGET
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


def checks(plan: Planned) -> Iterator[Check]:
    """What the targets of a plan hold against it. Raises ConfigError for a value that none could carry."""
    options = plan.config.scheduler
    targets = choose(options)
    if not targets:
        return
    decided = job.job(plan)
    for item in targets:
        yield from item.checks(decided, options[item.name])


def asked(plan: Planned) -> dict[str, str]:
    """Target -> the command by which a person asks the server that it runs; none where nothing serves."""
    options = plan.config.scheduler
    targets = choose(options)
    decided = job.job(plan) if targets else None
    found = {item.name: item.asked(decided, options[item.name]) for item in targets if decided is not None}
    return {name: command for name, command in found.items() if command is not None}


def routed(plan: PooledPlanned) -> dict[str, str]:
    """Target -> the command by which a person starts the router of both pools; none where it has none."""
    options = plan.config.scheduler
    targets = choose(options)
    jobs = _jobs(plan) if targets else None
    found = {item.name: item.routed(jobs, options[item.name]) for item in targets if jobs is not None}
    return {name: command for name, command in found.items() if command is not None}


def artifacts(plan: Planned) -> Iterator[Artifact]:
    """Every file of the targets in `plan.config.scheduler`, and what they share under `runtime/`; a pool is started from above."""
    options = plan.config.scheduler
    if not options and plan.config.workload.role is None:
        return
    decided = job.job(plan)
    yield from runtime_files.artifacts(decided)
    for item in choose(options):
        yield from item.artifacts(decided, options[item.name])


def pooled_checks(plan: PooledPlanned) -> Iterator[Check]:
    """`checks` for pools. Raises ConfigError for a value that none could carry, and for a target that knows no pools."""
    options = plan.config.scheduler
    targets = choose(options)
    bad = [item.name for item in targets if item.pooled is None]
    if bad:
        able = [name for name in names() if target(name).pooled is not None]
        raise ConfigError.of(
            f"scheduler={bad[0]} cannot start prefill and decode together",
            "write " + " or ".join(f"scheduler={name}" for name in able),
        )
    jobs = _jobs(plan)
    for item in targets:
        yield from item.checks_of_pools(jobs, options[item.name])


def pooled_artifacts(plan: PooledPlanned) -> Iterator[Artifact]:
    """Files that start both pools; those of one pool are in its own plan folder."""
    jobs = _jobs(plan)
    for item in choose(plan.config.scheduler):
        if item.pooled is not None:
            yield from item.pooled(jobs, plan.config.scheduler[item.name])


def _jobs(plan: PooledPlanned) -> PooledJob:
    pools, bad = [], list[Problem]()
    for role, part in plan.pools.items():
        try:
            pools.append((role, job.job(part)))
        except ConfigError as error:
            bad += [
                replace(problem, what=own_words(plan.config, role, problem.what)).of(role) for problem in error.problems
            ]
    if bad:
        raise ConfigError(bad)
    return PooledJob(plan.name, plan.fingerprint, tuple(pools))
