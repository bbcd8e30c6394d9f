"""Relations that Slurm, or a container under it, would find broken only after the queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.checks import Check, Status, check, failed
from compiler.schedulers import nvrx
from compiler.schedulers.job import Job, Jobs
from compiler.schedulers.slurm import blocks, rules
from compiler.schedulers.slurm.containers import MANY_NODES, container
from compiler.schedulers.slurm.request import PORTS


def checks(jobs: Jobs, options: Any) -> Iterator[Check]:
    """Raises ConfigError for a value that Slurm cannot carry."""
    if jobs.alone is not None:
        yield from _array(jobs.alone, options.array)
        yield from _own(jobs.alone, options, jobs.alone.requested_nodes)
        yield from _ports(jobs.instances, "framework.instances")
        return
    nodes = [job.requested_nodes for _, job in jobs.parts]
    at_once = max(nodes) if jobs.together else sum(nodes)
    yield check(
        "slurm-array",
        holds=options.array is None,
        observed=str(options.array),
        limit="null",
        message=f"scheduler.slurm.array={options.array}: Slurm takes no array of jobs that have components, as two pools are",
        fix="write scheduler.slurm.array=null, and submit the job as often",
    )
    yield from _ports(jobs.instances, "workload.pools.ROLE.instances")
    yield from jobs.each(lambda job: _own(job, options, at_once))


def _array(job: Job, array: str | None) -> Iterator[Check]:
    if array is not None and nvrx.told(job.world) is not None:
        yield failed(
            "nvrx-array",
            observed=array,
            limit="null",
            message=f"scheduler.slurm.array={array}: of a task of an array NVRx starts nothing more once one of its nodes is lost",
            fix="write scheduler.slurm.array=null, and submit the job as often",
        )


def _own(job: Job, options: Any, together: int) -> Iterator[Check]:
    """`together` is how many nodes start at once."""
    rules.refuse(job, options)
    yield from _segment(job, options.segment)
    yield from _blocks(job, options.segment)
    yield from _image(job, together)
    yield from _restarts(job)


def _ports(instances: int, key: str) -> Iterator[Check]:
    """Every instance has a port of its own, counted from one that the job's number chooses."""
    if instances > 1:
        yield check(
            "slurm-ports",
            holds=instances < PORTS,
            observed=str(instances),
            limit=f"{PORTS - 1}",
            message=f"{instances} instances of one job have ports of their own, and there are {PORTS}, one of them to begin at",
            fix=f"write {key} so that there are at most {PORTS - 1}, and submit several jobs",
        )


def _segment(job: Job, chosen: int | None) -> Iterator[Check]:
    """Block and segment placement want whole segments, spares included."""
    size, nodes = chosen or blocks.block(job.world.config.hardware), job.requested_nodes
    if job.site.slurm.placement != "segment" or size is None or job.hosts:
        return
    left = nodes % size if nodes > size else 0
    best = next(part for part in range(min(size, nodes), 0, -1) if nodes % part == 0)
    yield check(
        "slurm-segment",
        holds=left == 0,
        observed=f"{nodes} % {size} = {left}",
        limit="0",
        message=f"--segment={size} parts {nodes} nodes into {nodes // size} segments and {left} nodes over, which Slurm refuses",
        fix=f"write scheduler.slurm.segment={best} or {_spares(job)}={job.launch.spare_nodes + size - left}",
    )


def _blocks(job: Job, chosen: int | None) -> Iterator[Check]:
    """Slots follow segments; which hosts are one segment, a block topology tells no job."""
    size, site = chosen or blocks.block(job.world.config.hardware), job.site.slurm
    if site.placement != "segment" or size is None or size >= job.requested_nodes:
        return
    known = job.world.config.hardware.inventory is not None or site.topology_command is not None
    yield check(
        "slurm-blocks",
        holds=known,
        observed="a table or command" if known else "host names",
        limit="a table or command",
        message=f"slots are laid out by segments of {size} nodes, and hosts are sorted into them by "
        + ("where they hang" if known else "name: Slurm tells a job nothing of its blocks"),
        fix="give hardware.inventory or site.slurm.topology_command, or see that names run block by block",
        otherwise=Status.WARN,
    )


def _spares(job: Job) -> str:
    role = job.world.config.workload.role
    return "launch.spare_nodes" if role is None else f"workload.pools.{role}.spare_nodes"


def _image(job: Job, nodes: int) -> Iterator[Check]:
    """Many nodes that import an image from a registry at once lock each other out."""
    boxed = container(job)
    if boxed is not None and nodes > MANY_NODES:
        yield check(
            "slurm-image",
            holds=boxed.image.startswith(("/", "./")),
            observed=boxed.image,
            limit="a file",
            message=f"{nodes} nodes import {boxed.image} from its registry at once; above {MANY_NODES} that times out",
            fix="import it once and write launch.image=/shared/path/of/the/file",
            otherwise=Status.WARN,
        )


def _restarts(job: Job) -> Iterator[Check]:
    """Exit codes that never arrive."""
    launcher = "ft_launcher" if nvrx.told(job.world) is not None else "torchrun"
    if job.launch.restart_codes and (launcher == "ft_launcher" or "--rdzv-backend=static" in job.command):
        codes = ", ".join(map(str, job.launch.restart_codes))
        yield check(
            "slurm-restart-codes",
            holds=set(job.launch.restart_codes) <= {1},
            observed=codes,
            limit="1",
            message=f"{launcher} exits 1 whatever code its rank ended with, so launch.restart_codes={codes} never comes",
            fix=f"write launch.restart_codes=[1], or start ranks without {launcher}",
            otherwise=Status.WARN,
        )
