"""What the batch script asks of Slurm, as rows that its template writes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from compiler.schedulers import runtime_files
from compiler.schedulers.job import Job

Row = tuple[str, str]

FIRST_PORT, PORTS = 10000, 20000
"""MASTER_PORT comes from below Linux's ephemeral ports, which start at 32768, and above what services usually take."""


@dataclass(frozen=True)
class Request:
    """`directives` are `#SBATCH --name=value` lines, `flags` those without a value; `files` are sha256 and path."""

    directives: tuple[Row, ...]
    flags: tuple[str, ...]
    files: tuple[Row, ...]
    step: tuple[str, ...]
    digest: str
    first_port: int
    ports: int


def of(job: Job, options: Any) -> Request:
    """The request of a job; `options` are the target's own."""
    files = runtime_files.files(job)
    if job.inventory is not None:
        files["inventory.csv"] = job.inventory
    checked = {**{f"runtime/{name}": text for name, text in files.items()}, **dict(job.shared)}
    return Request(
        directives=(*_size(job), *_policy(job), *_site_names(options)),
        flags=_flags(job),
        files=tuple((runtime_files.digest(text), path) for path, text in sorted(checked.items())),
        step=_step(job),
        digest=runtime_files.digest(files["launch.json"]),
        first_port=FIRST_PORT,
        ports=PORTS - job.instances,
    )


def _size(job: Job) -> tuple[Row, ...]:
    slurm, gpus = job.site.slurm, job.gpus_per_node
    together = gpus // job.ranks_per_node if job.ranks_per_node < gpus else 1
    rows = [
        ("job-name", job.name),
        ("nodes", str(job.all_nodes + (len(job.spares) if job.hosts else job.spare_nodes))),
        ("ntasks-per-node", str(together * job.tasks_per_node)),
    ]
    rows += [("cpus-per-task", str(cpus)) for cpus in _cpus_per_task(job)]
    rows += [("gpus-per-node", str(gpus))] * (slurm.gpu_request == "gpus-per-node")
    rows += [("gres", f"{slurm.gres_name}:{gpus}")] * (slurm.gpu_request == "gres")
    rows += [("mem", "0")] * slurm.all_memory
    rows += [("nodelist", ",".join(job.hosts + job.spares))] * bool(job.hosts)
    return tuple(rows)


def _policy(job: Job) -> tuple[Row, ...]:
    signal = [("signal", f"B:USR1@{job.checkpoint_signal_s}")] * (job.checkpoint_signal_s > 0)
    return (
        ("time", job.time_limit),
        *signal,
        ("wait-all-nodes", "1"),
        ("output", "rankplan-%j.out"),
        ("open-mode", "append"),
        ("export", "NONE"),
    )


def _site_names(options: Any) -> tuple[Row, ...]:
    return tuple((name, value) for name, value in asdict(options).items() if value is not None)


def _flags(job: Job) -> tuple[str, ...]:
    requeue = "requeue" if job.max_restarts else "no-requeue"
    return ("exclusive", requeue) if job.site.slurm.exclusive else (requeue,)


def _cpus_per_task(job: Job) -> tuple[int, ...]:
    per_gpu = job.site.slurm.cpus_per_gpu
    return () if per_gpu is None else (per_gpu * (1 if job.unit == "rank" else job.ranks_per_node),)


def _step(job: Job) -> tuple[str, ...]:
    """Options of the step that starts an instance. Nodes come from the host file alone, and -N contradicts it."""
    shared = job.ranks_per_node < job.gpus_per_node
    return (
        "--distribution=arbitrary",
        f"--ntasks={job.tasks}",
        *(f"--cpus-per-task={cpus}" for cpus in _cpus_per_task(job)),
        *(["--overlap"] * shared),
        "--kill-on-bad-exit=1",
        "--export=ALL",
        "--input=none",
    )
