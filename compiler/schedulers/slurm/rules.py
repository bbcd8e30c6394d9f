"""What Slurm cannot carry, said when compiling and not in the queue."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from compiler.errors import ConfigError, Problem
from compiler.schedulers.job import Job


def refuse(job: Job, options: Any) -> None:
    """Raises ConfigError with every value that is beyond Slurm."""
    found = [
        Problem(
            f"launch.secrets.{secret.name} is a Kubernetes Secret, which scheduler=slurm cannot read",
            f"add file: /path/of/a/file to launch.secrets.{secret.name}, or leave slurm out of scheduler",
        )
        for secret in job.secrets
        if secret.file is None
    ]
    found += [
        Problem(
            f"scheduler.slurm.{name} holds {value!r}, and a directive of Slurm is one line of printable text",
            "write it on one line",
        )
        for name, value in asdict(options).items()
        if value is not None and not (value.isprintable() and value.strip())
    ]
    if job.checkpoint_signal_s > 65535:
        found.append(
            Problem(
                f"launch.checkpoint_signal_s={job.checkpoint_signal_s} is above Slurm's limit of 65535 s", "write less"
            )
        )
    if found:
        raise ConfigError(found)
