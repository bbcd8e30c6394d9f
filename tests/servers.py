"""What each node of an inference plan runs, seen by a program that stands in the server's place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from compiler.passes import compile_config
from compiler.schedulers import runtime_files
from compiler.schedulers.job import job
from compiler.specs.config import Config


def started(config: Config, folder: Path, instance: int = 0) -> list[list[str]]:
    """The words of each node's command, in order of the nodes of one instance."""
    made = job(compile_config(config))
    for name, text in runtime_files.files(made).items():
        (folder / name).write_text(text, encoding="utf-8")
    launch = json.loads((folder / "launch.json").read_text())
    assert launch["unit"] == "node"
    program = folder / "bin" / str(launch["command"][0])
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    program.chmod(0o755)
    return [_started(folder, launch, node, instance) for node in range(launch["nodes"])]


def _started(folder: Path, launch: dict[str, object], node: int, instance: int) -> list[str]:
    environment = {
        "PATH": str(folder / "bin"),
        "MASTER_ADDR": "head",
        "MASTER_PORT": "23456",
        "RANKPLAN_INSTANCE": str(instance),
        "WORLD_SIZE": str(launch["world_size"]),
        "LOCAL_WORLD_SIZE": str(launch["ranks_per_node"]),
        "NODE_RANK": str(node),
        **dict(made for made in _pairs(launch["environment"])),
    }
    command = [sys.executable, "-I", "-S", str(folder / "probe.py"), "--cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\0")[:-1]


def _pairs(environment: object) -> list[tuple[str, str]]:
    assert isinstance(environment, dict)
    return [(str(name), str(value)) for name, value in environment.items()]
