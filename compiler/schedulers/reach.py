"""Where the servers of a launch answer HTTP: the port of each instance, on the node of its rank 0."""

from __future__ import annotations

from compiler.schedulers.job import Job
from compiler.words import whole

MODELS = "/v1/models"
"""What every inference server answers once its model is loaded."""
SLURM = "rankplan-JOB/endpoints"
"""Where a job writes who is where, JOB its number; the last word of a line is where a server answers."""


def curl(job: Job) -> str:
    """A certificate may be for another name than a person uses."""
    return "curl -k" if job.http_scheme == "https" else "curl"


def on_slurm(job: Job) -> str | None:
    """How a person asks the first server of a job."""
    return f"{curl(job)} \"$(sed -n '1s/.* //p' {SLURM}){MODELS}\"" if http_ports(job) else None


def http_ports(job: Job, *, own_network: bool = False) -> tuple[int, ...]:
    """A port for each instance; none where nothing is served. With `own_network` no instance shares another's ports.

    As `runtime/command.py` fills {PORT}.
    """
    if job.http_port is None:
        return ()
    first = whole(job.http_port.text)
    if job.http_port.text != "{PORT}":
        return () if first is None else (first,) * job.instances
    before = (0 if own_network else job.share.ports_before(instance) for instance in range(job.instances))
    return tuple(job.http_port.port + job.http_port.times * count for count in before)
