"""What `show PLAN job=slurm` prints: the files that start a plan on one of its targets, as they lie in its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from compiler.errors import ConfigError
from compiler.frozen import dataclass
from compiler.inputs.file import text as text_of
from compiler.nearest import one_of

AGAIN = "compile the plan again"
MOST_BYTES = 2**26
FOLDERS = {"slurm": "*.sbatch", "local": "*.sh", "kubernetes": "*.yaml"}
"""Folder of a plan -> the files in it that start the plan."""
CONTROLLERS = ("kubernetes_job", "jobset", "lws", "trainjob", "volcano", "mpijob")
WORD = "job="


@dataclass(frozen=True)
class JobAnswer:
    """Files of one target, by path; of Kubernetes without the ConfigMaps that hold the plan's own files."""

    query: str
    files: Mapping[str, str]


def job(folder: Path, query: str) -> JobAnswer:
    """Raises ConfigError for a target that the plan was not compiled for, and for a file that cannot be read."""
    wanted = query.removeprefix(WORD)
    wanted = "kubernetes" if wanted in CONTROLLERS else wanted
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises for a name too long
        raise ConfigError.of(f"{folder} is no plan folder", "name a folder that `python -m compiler` wrote")
    known = [name for name in FOLDERS if (folder / name).is_dir()]
    if wanted not in known:
        write = one_of(wanted, known, "job") if known else "compile it with scheduler=slurm, or another one"
        raise ConfigError.of(f"{query}: {folder} has no such job", write)
    paths = [path for path in sorted((folder / wanted).glob(FOLDERS[wanted])) if "configmap" not in path.name]
    files = {f"{wanted}/{path.name}": text_of(str(path), path, AGAIN, MOST_BYTES) for path in paths}
    return JobAnswer(query, files)


def text(answer: JobAnswer) -> str:
    """The files one after the other, as they are: to be read, or sent to a file or to `kubectl apply -f -`."""
    return "".join(answer.files.values())
