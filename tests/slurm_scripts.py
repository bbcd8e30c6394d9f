"""Batch scripts read back: their directives, and what their steps are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compiler.schedulers.job import job
from compiler.schedulers.slurm.containers import container
from compiler.specs.site import Site, SlurmSite
from tests.fake_slurm import batch
from tests.plans import SmallPlan, files, write


def script(made: SmallPlan) -> str:
    return str(files(made)["slurm/job.sbatch"].text)


def directives(made: SmallPlan) -> dict[str, str]:
    """Name -> value of the #SBATCH lines, which stand before the first command."""
    head = script(made).split("\nset -Eeuo", 1)[0].splitlines()
    lines = [line.removeprefix("#SBATCH --") for line in head if line.startswith("#SBATCH --")]
    assert script(made).count("#SBATCH") == len(lines)
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def at(**slurm: Any) -> Site:
    return Site(name="test", slurm=SlurmSite(**slurm))


def calls(made: SmallPlan, folder: Path) -> list[dict[str, Any]]:
    """Every srun of a job, its arguments and environment."""
    image = container(job(made))
    path = write(made, folder / "plan") / "slurm" / "job.sbatch"
    submit, hosts = folder / "sub mit", [f"n{i}" for i in range(job(made).requested_nodes)]
    done = batch(path, submit, hosts, hosts, image="" if image is None else image.image)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (submit / "calls").read_text().splitlines()]
