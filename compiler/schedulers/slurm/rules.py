"""What Slurm cannot carry, said when compiling and not in the queue."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from compiler.errors import ConfigError, Problem, short
from compiler.schedulers import values
from compiler.schedulers.job import Job
from compiler.schedulers.slurm import containers

DECIDED: Mapping[str, str] = {
    "array": "scheduler.slurm.array",
    "dependency": "scheduler.slurm.dependency",
    "segment": "scheduler.slurm.segment",
    "job-name": "name",
    "exclusive": "site.slurm.exclusive",
    "requeue": "launch.max_restarts",
    "no-requeue": "launch.max_restarts",
    "cpus-per-gpu": "site.slurm.cpus_per_gpu",
    "container-image": "launch.image",
    "container-mounts": "launch.mounts",
    "export": "launch.environment",
    "export-file": "launch.environment",
    **dict.fromkeys(("nodelist", "nodefile"), "hardware.inventory"),
    **dict.fromkeys(("mem-per-cpu", "mem-per-gpu"), "site.slurm.all_memory, or directives.mem"),
    **dict.fromkeys(("gpus", "gpus-per-socket", "gpus-per-task", "ntasks-per-gpu"), "site.slurm.gpu_request"),
    **dict.fromkeys(("nodes", "ntasks", "ntasks-per-node", "ntasks-per-core", "ntasks-per-socket"), "the degrees"),
    **dict.fromkeys(("distribution", "spread-job", "use-min-nodes", "no-kill"), "the order of ranks"),
    **dict.fromkeys(("gpu-bind", "tres-bind", "tres-per-task", "overcommit", "oversubscribe"), "the binding of ranks"),
    **dict.fromkeys(("wrap", "test-only", "hold", "parsable", "quiet", "verbose"), "the command line of sbatch"),
}
"""Directives that fight what the plan sets, and where that is said instead. sbatch refuses two ways to ask for one thing, or
a rank no longer sees the GPUs of its node, or the order of ranks and the safety of the script lose what they rest on."""


def refuse(job: Job, options: Any) -> None:
    """Raises ConfigError with every value that is beyond Slurm."""
    found = [*_secrets(job), *_lines(options), *_limits(job), *_site(job), *containers.problems(job)]
    if found:
        raise ConfigError(found)


def _secrets(job: Job) -> Iterator[Problem]:
    for secret in job.secrets:
        if secret.file is None:
            yield Problem(
                f"launch.secrets.{secret.name} is a Kubernetes Secret, which scheduler=slurm cannot read",
                f"add file: /path/of/a/file to launch.secrets.{secret.name}, or leave slurm out of scheduler",
            )


def _lines(options: Any) -> Iterator[Problem]:
    if options.array is not None and not re.fullmatch(r"[0-9]+([-,:%][0-9]+)*", options.array):
        yield Problem(f"scheduler.slurm.array={short(options.array)} is no array of Slurm", "write as in 0-9%1")
    for name, value in asdict(options).items():
        if isinstance(value, str) and not (value.isprintable() and value.strip()):
            yield Problem(
                f"scheduler.slurm.{name} holds {short(repr(value))}, and a directive of Slurm is one line of printable text",
                "write it on one line",
            )


def _directives(given: Mapping[str, Any]) -> Iterator[Problem]:
    """Lines of the batch script that the site adds or changes."""
    for name, value in given.items():
        if name in DECIDED:
            yield Problem(
                f"site.slurm.directives.{name} is not for a site to set: {DECIDED[name]} decides it",
                f"take it out of site.slurm.directives{_own_key(DECIDED[name])}",
            )
        elif not re.fullmatch(r"[a-z][a-z-]*", name) or value is False:
            yield Problem(
                f"site.slurm.directives.{short(name)}={short(value)} is no directive of Slurm",
                "write NAME: VALUE, true for one without a value, null to take one of ours out",
            )
        elif isinstance(value, (list, dict)) or not str(value).isprintable():
            yield Problem(
                f"site.slurm.directives.{name} holds {short(repr(value))}, and a directive is one line",
                "write one line",
            )


def _own_key(decider: str) -> str:
    """A hint to the key that decides, where one does."""
    return f", and write {decider}" if "." in decider else ""


def _limits(job: Job) -> Iterator[Problem]:
    if job.launch.checkpoint_signal_s > 65535:
        yield Problem(
            f"launch.checkpoint_signal_s={job.launch.checkpoint_signal_s} is above Slurm's limit of 65535 s",
            "write less",
        )
    if job.launch.checkpoint is not None:
        yield from values.text("launch.checkpoint", job.launch.checkpoint)
        if not job.launch.checkpoint.startswith("/"):
            yield Problem(
                f"launch.checkpoint={short(job.launch.checkpoint)} is relative, and nothing says to what",
                "write /the/whole/path",
            )


def _site(job: Job) -> Iterator[Problem]:
    """Words of a site profile that end up in the script."""
    slurm = job.site.slurm
    for name in slurm.pass_environment:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*\*?", name):
            yield Problem(
                f"site.slurm.pass_environment holds {short(repr(name))}", "write names of variables, as LD_LIBRARY_PATH"
            )
    yield from _directives(slurm.directives)
    if not re.fullmatch(r"([0-9]+-)?[0-9]+(:[0-9]+){0,2}", slurm.switch_wait):
        yield Problem(f"site.slurm.switch_wait={short(slurm.switch_wait)} is no time of Slurm", "write HH:MM:SS")
    lists = {"topology_command": slurm.topology_command, "health_command": slurm.health_command}
    for key, command in lists.items():
        for index, word in enumerate(command or ()):
            yield from values.text(f"site.slurm.{key}[{index}]", word)
        if command is not None and not (command and command[0]):
            yield Problem(f"site.slurm.{key} names no program", "write a list, or null")
