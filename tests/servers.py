"""What each node of an inference plan runs, seen by a program that stands in the server's place."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.passes import compile_config
from compiler.schedulers import runtime_files
from compiler.schedulers.job import job
from compiler.specs.config import Config

SHOW = "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


@dataclass(frozen=True)
class Server:
    """`said` is what the self-check had against the node, where the server did not start."""

    words: list[str]
    environment: dict[str, str]
    said: str = ""


def started(config: Config, folder: Path, instance: int = 0) -> list[list[str]]:
    """The words of each node's command, in order of the nodes of one instance."""
    return [server.words for server in servers(config, folder, instance)]


def servers(config: Config, folder: Path, instance: int = 0, master: str = "head") -> list[Server]:
    """What each node of one instance starts, and with which environment; rank 0 is on the host `master`."""
    made = job(compile_config(config))
    for name, text in runtime_files.files(made).items():
        (folder / name).write_text(text, encoding="utf-8")
    launch = json.loads((folder / "launch.json").read_text())
    assert launch["unit"] == "node"
    program = folder / "bin" / str(launch["command"][0])
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!{sys.executable}\n{SHOW}\n")
    program.chmod(0o755)
    return [_server(folder, launch, node, instance, master) for node in range(launch["nodes"])]


def _server(folder: Path, launch: dict[str, Any], node: int, instance: int, master: str) -> Server:
    environment = {
        "PATH": str(folder / "bin"),
        "MASTER_ADDR": master,
        "MASTER_PORT": "23456",
        "RANKPLAN_INSTANCE": str(instance),
        "WORLD_SIZE": str(launch["world_size"]),
        "LOCAL_WORLD_SIZE": str(launch["ranks_per_node"]),
        "NODE_RANK": str(node),
        **launch["environment"],
    }
    command = [sys.executable, "-I", "-S", str(folder / "probe.py"), "--cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        assert done.returncode == 64, done.stderr
        return Server([], {}, done.stderr)
    return Server(*json.loads(done.stdout))
