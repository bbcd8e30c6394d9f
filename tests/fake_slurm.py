"""Stand-ins for the programs that a batch script calls, so that it runs without a Slurm: rank i on line i of the host file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SCONTROL = """
import os, sys
words = sys.argv[1:]
if words[:2] == ["show", "job"]:
    print("JobId=7 JobName=x\\n   EndTime=2026-01-01T00:00:00 Deadline=N/A\\n   Comment=\\n   Command=%s\\n   WorkDir=/\\n   StdErr=/\\n" % os.environ["RANKPLAN_FAKE_COMMAND"])
elif words[:2] == ["show", "hostnames"]:
    print("\\n".join(words[2].split(",")))
elif words[:2] == ["show", "node"]:
    print("NodeName=%s Arch=x86_64\\n   NodeAddr=%s NodeHostName=x Version=22" % (words[2], os.environ["RANKPLAN_FAKE_ADDRESS"]))
"""
SRUN = """
import json, os, subprocess, sys
words = sys.argv[1:]
first = next(index for index, word in enumerate(words) if not word.startswith("-"))
options, command = words[:first], words[first:]
main = "SLURM_HOSTFILE" in os.environ
group = "".join("_HET_GROUP_" + word.split("=")[1] for word in options if word.startswith("--het-group="))
hosts = open(os.environ["SLURM_HOSTFILE"]).read().split() if main else os.environ["SLURM_JOB_NODELIST" + group].split(",")
with open(os.environ["RANKPLAN_FAKE_CALLS"], "a") as file:
    file.write(json.dumps({"argv": words, "environment": dict(os.environ)}) + "\\n")
tasks = int(next(word for word in options if word.startswith("--ntasks=")).split("=")[1])
assert main == ("--distribution=arbitrary" in options) and not (main and any(o.startswith(("-N", "--nodes")) for o in options))
while command[0] == "apptainer" or command[0].startswith("-"):  # no container here: its options have no effect
    command = command[1 + command.index(os.environ["RANKPLAN_FAKE_IMAGE"]):]
assert tasks == len(hosts) or "--container-image" in " ".join(options)
started = []
for task, host in enumerate(hosts):
    row = {"SLURM_PROCID": task, "SLURM_LOCALID": hosts[:task].count(host), "SLURM_STEP_NUM_TASKS": tasks}
    row = dict({key: str(value) for key, value in row.items()}, SLURMD_NODENAME=host)
    started.append(subprocess.Popen(command, env=dict(os.environ, **row)))
sys.exit(max(process.wait() for process in started))
"""
GETENT = """
import os, sys
sys.exit(0 if sys.argv[2] in os.environ["RANKPLAN_FAKE_KNOWN"].split() else 2)
"""


def batch(
    script: Path,
    folder: Path,
    hosts: Sequence[str],
    known: Sequence[str] = (),
    address: str = "",
    restarts: int = 0,
    image: str = "",
    components: Sequence[Sequence[str]] = (),
    more: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a batch script as sbatch would, from a copy, submitted in `folder` on `hosts`; `known` names resolve.

    `components` are the hosts of each part of a heterogeneous job; `more` is what else the submitting shell exports.
    """
    tools = folder / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    for name, text in {"scontrol": SCONTROL, "srun": SRUN, "getent": GETENT, "scancel": ""}.items():
        (tools / name).write_text(f"#!{sys.executable}\n{text}")
        (tools / name).chmod(0o755)
    (folder / "copy").write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": ",".join(hosts),
        "SLURM_JOB_NUM_NODES": str(len(hosts)),
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_RESTART_COUNT": str(restarts),
        "RANKPLAN_FAKE_COMMAND": str(script),
        "RANKPLAN_FAKE_KNOWN": " ".join(known),
        "RANKPLAN_FAKE_ADDRESS": address,
        "RANKPLAN_FAKE_CALLS": str(folder / "calls"),
        "RANKPLAN_FAKE_IMAGE": image,
        "RANKPLAN_REPORT": str(folder / "report"),
        **(more or {}),
    }
    for index, part in enumerate(components):
        environment[f"SLURM_JOB_NODELIST_HET_GROUP_{index}"] = ",".join(part)
        environment[f"SLURM_JOB_NUM_NODES_HET_GROUP_{index}"] = str(len(part))
    command = ["bash", str(folder / "copy")]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
