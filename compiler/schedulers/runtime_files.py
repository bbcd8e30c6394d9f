"""`runtime/`: the programs that run on the cluster, and what they must know of the launch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from compiler.cluster.spans import SPANS, spans
from compiler.frameworks.emission import Argument
from compiler.render.artifacts import Artifact
from compiler.schedulers.job import Job
from compiler.world import World

SCHEMA = "rankplan.launch/1"
RUNTIME = Path(__file__).parents[1] / "runtime"
PROGRAMS = tuple(sorted(path.stem for path in RUNTIME.glob("*.py") if path.stem != "__init__"))


def artifacts(job: Job) -> Iterator[Artifact]:
    """Every file under `runtime/` that decides where and how ranks run."""
    for path, text in files(job).items():
        yield Artifact(f"runtime/{path}", text)


def files(job: Job) -> dict[str, str]:
    """File name -> text."""
    return {**{f"{name}.py": _program(name) for name in PROGRAMS}, "launch.json": launch_json(job)}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def launch_json(job: Job) -> str:
    """The launch in closed form; only a pinned plan's host lists grow with the nodes."""
    launch = {
        "schema": SCHEMA,
        "name": job.name,
        "fingerprint": job.fingerprint,
        **_size(job),
        **_started(job),
        **_places(job),
        **_restarts(job),
        "preflight": _preflight(job),
    }
    launch["spans"] = _spans(job)
    if job.world.blocks is not None:
        launch["pack"] = asdict(job.world.blocks)
    if job.within.nodes or job.share.taken:
        nodes = job.within.nodes or job.within.first + job.all_nodes
        launch["within"] = {"nodes": nodes, "first": job.within.first, "taken": job.share.taken}
    if job.standby:
        launch["standby"] = job.standby
    if job.http_port is not None:
        launch["http_port"] = job.http_port.to_dict()
        launch["http_host"], launch["http_scheme"] = job.http_host, job.http_scheme
    if job.computed:
        launch["computed_environment"] = {name: value.to_dict() for name, value in job.computed}
    return json.dumps(launch, indent=1) + "\n"


def _size(job: Job) -> dict[str, Any]:
    return {
        "world_size": job.world_size,
        "instances": job.instances,
        "nodes": job.nodes,
        "gpus_per_node": job.gpus_per_node,
        "ranks_per_node": job.ranks_per_node,
        "spare_nodes": job.launch.spare_nodes,
    }


def _started(job: Job) -> dict[str, Any]:
    """What runs, and with which values."""
    return {
        "unit": job.unit,
        "command": _arguments(job.command),
        "other_command": None if job.other_command is None else _arguments(job.other_command),
        "workdir": job.launch.workdir,
        "environment": dict(job.environment),
        "secrets": {secret.name: secret.file for secret in job.secret_files},
    }


def _places(job: Job) -> dict[str, Any]:
    """Hosts, and the devices of a node."""
    return {
        "hosts": job.hosts,
        "spares": job.spares,
        "nics": _of_gpus(job, job.site.nics),
        "numa": _of_gpus(job, job.site.numa),
        "nodes_per_leaf": job.world.config.hardware.fabric.nodes_per_leaf,
    }


def _spans(job: Job) -> dict[str, Any]:
    """Groups of several ranks in closed form, and how many of each kind have which span, in the order of SPANS."""
    world, hardware = job.world, job.world.config.hardware
    kinds = {
        kind: {"groups": _counts(world, kind), "members": found.members, "bases": found.bases}
        for kind, found in world.kinds.items()
        if found.size > 1
    }
    nodes = max(1, hardware.nvlink.domain_gpus // hardware.node.gpus)
    return {"mode": job.launch.spans, "domain_nodes": nodes, "kinds": kinds}


def _counts(world: World, kind: str) -> list[int]:
    """Of all instances."""
    first = np.arange(world.instances, dtype=np.int64)[:, None, None] * world.size
    table = (world.groups[kind][None] + first).reshape(-1, world.groups.size(kind))
    return [int(count) for count in np.bincount(spans(table, world.slots), minlength=len(SPANS))]


def _restarts(job: Job) -> dict[str, Any]:
    """How often ranks start again, and what they keep."""
    launch = job.launch
    return {
        "max_restarts": launch.max_restarts,
        "max_idle_restarts": launch.max_idle_restarts,
        "restart_codes": launch.restart_codes,
        "checkpoint": launch.checkpoint,
        "checkpoint_signal_s": launch.checkpoint_signal_s,
    }


def _of_gpus(job: Job, given: list[Any]) -> list[Any]:
    """Devices of a node as one for each of its GPUs; empty where the site names none."""
    return [given[gpu * len(given) // job.gpus_per_node] for gpu in range(job.gpus_per_node)] if given else []


def _preflight(job: Job) -> dict[str, Any]:
    """What each node is held against."""
    secrets = [str(secret.file) for secret in job.secret_files]
    return {
        **asdict(job.launch.preflight),
        "health_command": job.site.slurm.health_command,
        "paths": sorted({*job.container_paths, *secrets}),
    }


def _arguments(command: tuple[Argument, ...]) -> list[Any]:
    """Texts as they are; what the starter completes on each node as {text, times}."""
    return [argument if isinstance(argument, str) else argument.to_dict() for argument in command]


@cache
def _program(name: str) -> str:
    return (RUNTIME / f"{name}.py").read_text(encoding="utf-8")
