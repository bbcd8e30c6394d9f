"""A plan folder that holds things of others too, and what is in it."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from compiler.render import atomic
from compiler.render.artifacts import Artifact
from compiler.render.folder import manifest

OLD = {"plan.json": "old", "slurm/job.sbatch": "old job", "gone/only.txt": "only in the old one"}
NEW = {"plan.json": "new", "slurm/job.sbatch": "new job", "local/run.sh": "only in the new one"}


def write(target: Path, files: Mapping[str, str]) -> None:
    atomic.write_folder(target, [*(Artifact(path, text) for path, text in files.items()), manifest])


def shared_folder(tmp_path: Path) -> Path:
    """A plan folder with things of others in it."""
    folder = tmp_path / "out" / "plan"
    write(folder, OLD)
    (folder / "notes.txt").write_text("mine")
    (folder / "notes.txt").chmod(0o640)
    (folder / "slurm" / "slurm-7.out").write_text("a log")
    (folder / "gone" / "kept.txt").write_text("beside a file that goes")
    (folder / "gone").chmod(0o750)
    (folder / "slurm").chmod(0o777)
    (folder / "rankplan-7" / "logs").mkdir(parents=True)
    (folder / "rankplan-7" / "logs" / "rank-0.log").write_text("step 1\n")
    (folder / "rankplan-7" / "logs" / "latest").symlink_to("rank-0.log")
    (folder / "rankplan-7").chmod(0o700)
    (folder / "empty").mkdir()
    (folder / "absolute").symlink_to("/etc/hostname")
    (folder / "relative").symlink_to("../other")
    (folder / "dangling").symlink_to("nowhere")
    (folder.parent / "other").write_text("beside the plan")
    os.mkfifo(folder / "pipe", 0o600)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "socket"))
    return folder


def state(folder: Path, ours: Mapping[str, str]) -> dict[str, tuple[int, int, str]]:
    """Path -> inode, mode and content of everything that is not the plan's; of a folder that was shared with it, only mode."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name, status = str(path.relative_to(folder)), path.lstat()
        if name in ours or name in ("manifest.json", "local"):
            continue
        kind = stat.S_IFMT(status.st_mode)
        content = str(path.readlink()) if kind == stat.S_IFLNK else path.read_text() if kind == stat.S_IFREG else ""
        found[name] = (0 if name in ("gone", "slurm") else status.st_ino, status.st_mode, content)
    return found


def holds(target: Path, files: Mapping[str, str]) -> bool:
    return {path: (target / path).read_text() for path in files} == files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
