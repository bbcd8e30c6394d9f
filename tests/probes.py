"""The self-check of one rank, run here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ECHO = "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
RANK_5 = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "NODE_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1234",
}


def probe(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the self-check of rank 5 of 8, four to a node, with `environment` on top."""
    values = {"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "node2", **RANK_5, **environment}
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / "probe.py"), *options]
    given = {key: value for key, value in values.items() if value != "UNSET"}
    return subprocess.run(command, env=given, capture_output=True, text=True, encoding="utf-8", check=False)


def line(text: str) -> str:
    """The single line of an error."""
    assert text.count("\n") == 1, text
    return text.strip()
