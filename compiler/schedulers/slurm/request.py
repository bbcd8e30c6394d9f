"""What the batch script asks of Slurm, as rows that its template writes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from compiler.frozen import dataclass
from compiler.schedulers import reach, runtime_files
from compiler.schedulers.job import Job, Jobs
from compiler.schedulers.slurm import blocks
from compiler.schedulers.slurm.containers import Container, container

Row = tuple[str, str]

FIRST_PORT, PORTS = 10000, 20000
"""MASTER_PORT comes from below Linux's ephemeral ports, which start at 32768, and above what services usually take."""
PASSED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR", "RANKPLAN_*"),
    *("SLURM_CONF", "SLURM_JOB_*", "SLURM_JOBID", "SLURM_NNODES", "SLURM_NODELIST", "SLURM_HET_SIZE"),
    *("SLURM_CLUSTER_NAME", "SLURM_SUBMIT_*", "SLURM_RESTART_COUNT", "SLURMD_NODENAME"),
)
"""Variables of the batch script's own environment that its steps may see. Of Slurm's own those that say which job this is:
the others are srun's options too, and come from the shell that called sbatch, --export=NONE or not."""
RECORDER = {
    "TORCH_FR_BUFFER_SIZE": "2000",
    "TORCH_NCCL_TRACE_BUFFER_SIZE": "2000",
    "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
}
"""PyTorch's flight recorder, under its names of before and after 2.8: the last collectives of each rank, dumped when one hangs."""
DUMPS = ("TORCH_FR_DUMP_TEMP_FILE", "TORCH_NCCL_DEBUG_INFO_TEMP_FILE")
"""Where it dumps them; a rank's number is appended."""

WAIT_S = 600
"""From the end of the first rank until the others are ended too: one that saves a checkpoint alone takes its time."""
STAGING_S = 1800
"""Unpacking an image of tens of gigabytes from shared storage on many nodes at once takes minutes."""


@dataclass(frozen=True)
class Request:
    """`directives` are `#SBATCH --name=value` lines, `flags` those without a value; `files` are sha256 and path.

    `http_ports` are those of the instances' servers. `look` runs the preflight on every node: it also learns their switches. `dumps` name the flight recorder's files.
    """

    directives: tuple[Row, ...]
    flags: tuple[str, ...]
    files: tuple[Row, ...]
    passed: tuple[str, ...]
    python: str
    look: bool
    topology_command: tuple[str, ...]
    assignments: tuple[str, ...]
    dumps: tuple[str, ...]
    step: tuple[str, ...]
    container: Container | None
    staging_s: int
    digest: str
    first_port: int
    ports: int
    http_ports: tuple[int, ...]
    http_scheme: str

    @property
    def array(self) -> bool:
        """Whether one call of sbatch starts the plan several times."""
        return any(name == "array" for name, _ in self.directives)

    @property
    def runs_in(self) -> str:
        return "node" if self.container is None else self.container.kind


def of(job: Job, options: Any, whole: Jobs | None = None) -> Request:
    """The request of a job; `options` are the target's own. A pool's bears the name of the `whole` that it is part of."""
    files, site, inventory = runtime_files.files(job), job.site.slurm, job.world.config.hardware.inventory
    if inventory is not None:
        files["inventory.csv"] = inventory
    checked = {**{f"runtime/{name}": text for name, text in files.items()}, **dict(job.shared)}
    boxed = container(job)
    given = {name for name, _ in (*job.environment, *job.computed)}
    recorder = tuple(f"{name}={value}" for name, value in RECORDER.items() if name not in given)
    named = whole or job
    rows = dict((("job-name", named.name), *_size(job), *_nearness(job, options), *_policy(job)))
    rows |= {"comment": f"rankplan {named.fingerprint[:12]}", **_chosen(options)}
    return Request(
        directives=tuple(changed(rows, site.directives).items()),
        flags=_flags(job),
        files=tuple((runtime_files.digest(text), path) for path, text in sorted(checked.items())),
        passed=(*PASSED, *["SLURM_ARRAY_*"] * (options.array is not None), *site.pass_environment),
        python=site.python or ("python3" if boxed else job.launch.python),
        look=job.launch.preflight.enabled
        or job.launch.spans == "require"
        or (inventory is None and site.topology_command is None),
        topology_command=tuple(site.topology_command or ()) if inventory is None else (),
        assignments=(*recorder, *job.assignments),
        dumps=tuple(name for name in DUMPS if name not in given),
        step=_step(job),
        container=boxed,
        staging_s=STAGING_S,
        digest=runtime_files.digest(files["launch.json"]),
        first_port=FIRST_PORT,
        ports=PORTS - job.instances,
        http_ports=reach.http_ports(job),
        http_scheme=job.http_scheme,
    )


def changed(rows: dict[str, str], site: dict[str, Any]) -> dict[str, str]:
    """Directives with a value as the site has them: its own lines, and none that it sets to null."""
    merged = {**rows, **{name: None if value is None else str(value) for name, value in site.items()}}
    return {name: value for name, value in merged.items() if value is not None and site.get(name) is not True}


def _size(job: Job) -> tuple[Row, ...]:
    slurm, gpus = job.site.slurm, job.gpus_per_node
    together = job.share.seats if job.instances > 1 else 1
    rows = [
        ("nodes", str(job.requested_nodes)),
        ("ntasks-per-node", str(together * job.tasks_per_node)),
    ]
    rows += [("cpus-per-task", str(cpus)) for cpus in _cpus_per_task(job)]
    rows += [("gpus-per-node", str(gpus))] * (slurm.gpu_request == "gpus-per-node")
    rows += [("gres", f"{slurm.gres_name}:{gpus}")] * (slurm.gpu_request == "gres")
    rows += [("mem", "0")] * slurm.all_memory
    rows += [("nodelist", ",".join(job.hosts + job.spares))] * bool(job.hosts)
    return tuple(rows)


def _nearness(job: Job, options: Any) -> tuple[Row, ...]:
    """Pinned hosts need no asking; a block topology might find no room for exactly those."""
    return () if job.hosts else blocks.directives(job, job.requested_nodes, options.segment)


def _policy(job: Job) -> tuple[Row, ...]:
    signal = [("signal", f"B:USR1@{job.launch.checkpoint_signal_s}")] * (job.launch.checkpoint_signal_s > 0)
    return (
        ("time", job.launch.time_limit),
        *signal,
        ("wait-all-nodes", "1"),
        ("output", "rankplan-%j.out"),
        ("open-mode", "append"),
        ("export", "NONE"),
    )


def _chosen(options: Any) -> dict[str, str]:
    """What a job chooses. Without a comment of its own it carries the plan's."""
    return {name: value for name, value in asdict(options).items() if value is not None and name != "segment"}


def _flags(job: Job) -> tuple[str, ...]:
    requeue = "requeue" if job.launch.max_restarts else "no-requeue"
    bare = (name for name, value in job.site.slurm.directives.items() if value is True)
    return (*["exclusive"] * job.site.slurm.exclusive, requeue, *["no-kill"] * bool(job.standby), *bare)


def _cpus_per_task(job: Job) -> tuple[int, ...]:
    per_gpu = job.site.slurm.cpus_per_gpu
    return () if per_gpu is None else (per_gpu * (1 if job.unit == "rank" else job.ranks_per_node),)


def _step(job: Job) -> tuple[str, ...]:
    """Options of the step that starts an instance. Nodes come from the host file alone, and -N contradicts it. Where launchers wait on
    spares, the loss of a node ends no other.
    """
    shared = job.ranks_per_node < job.gpus_per_node
    bound = job.site.numa if job.unit == "rank" and not shared else []
    return (
        "--distribution=arbitrary",
        *([] if job.standby else [f"--ntasks={job.tasks}"]),
        "--mem=0",  # all that the job has, whatever the steps beside it have
        *(f"--cpus-per-task={cpus}" for cpus in _cpus_per_task(job)),
        *([f"--cpu-bind=map_ldom:{','.join(map(str, bound))}"] if bound else []),
        *["--cpu-bind=none"] * (job.unit == "node" and bool(job.site.numa)),  # what runs there binds its own processes
        *(["--overlap"] * shared),
        *([] if job.mpi is None else [f"--mpi={job.mpi}"]),
        *(
            ["--kill-on-bad-exit=0", "--no-kill", "--wait=0"]
            if job.standby
            else ["--kill-on-bad-exit=1", f"--wait={WAIT_S}"]
        ),
        "--export=ALL",
        "--input=none",
    )
