"""A sweep as an array of Slurm jobs, by Hydra's submitit launcher."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import slurm_cluster
from tests.command import ROOT, whole


@pytest.mark.slow
@pytest.mark.xdist_group("slurm-torch")
@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="hydra-submitit-launcher is not installed")
def test_a_sweep_compiles_as_an_array_of_jobs(tmp_path: Path) -> None:
    degrees = "ep16_tp4_pp4_dp4,ep32_tp4_pp4_dp2,ep16_tp3_pp4_dp4"
    launcher = {"timeout_min": 5, "cpus_per_task": 1, "mem_gb": 1, "array_parallelism": 2}
    command = [sys.executable, "-m", "compiler", "-m", f"parallel={degrees}", "scheduler=[]", "sweep=big"]
    command += ["hydra/launcher=submitit_slurm", f"hydra.sweep.dir={tmp_path}/state"]
    command += [f"hydra.launcher.{key}={value}" for key, value in launcher.items()]
    for cluster in slurm_cluster.start(2, 1):
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "SLURM_CONF": cluster.conf, "PYTHONPATH": paths}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode, "2 of 3 plans in out/sweeps/big" in done.stdout) == (1, True), done.stderr
        script = next((tmp_path / "state" / ".submitit").glob("*/*_submission.sh")).read_text()
        assert "#SBATCH --array=0-2%2" in script
    folder = tmp_path / "out" / "sweeps" / "big"
    rows = list(csv.DictReader((folder / "summary.csv").read_text().splitlines()))
    assert [(row["job"], row["status"]) for row in rows] == [
        ("moe_30b_ep16_tp4_pp4_dp4", "ok"), ("moe_30b_ep32_tp4_pp4_dp2", "ok"), ("moe_30b_ep16_tp3_pp4_dp4", "3")
    ]  # fmt: skip
    assert all(whole(folder / row["job"]) for row in rows if row["status"] == "ok")
