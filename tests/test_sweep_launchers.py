"""A sweep of searches on Hydra's launchers, those that are installed and one that loses jobs; and what is said where a launcher fails."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.errors import ConfigError
from compiler.launchers import Launcher
from tests import slurm_cluster
from tests.command import ROOT, refused, whole

SEARCHES = [
    "parallel=auto",
    "workload=train",
    "framework=megatron",
    "hardware=h100_80gb",
    "hardware.nodes=1",
    "~expect",
]
SEARCHES += ["model=llama3_1_8b,qwen3_30b_a3b", "search.vary={workload.micro_batch_size:[1,2]}", "scheduler=[]"]
PLUGIN = '''
import subprocess, sys
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import run_job, setup_globals
from hydra.plugins.launcher import Launcher

class Losing(Launcher):
    """Runs the first job from another folder, and loses the rest."""

    def __init__(self, ends=True): self.ends = ends

    def setup(self, *, hydra_context, task_function, config):
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides, initial_job_idx):
        import os
        setup_globals()
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(job_overrides[0]))
        config.hydra.job.num, config.hydra.job.id = 0, "0"
        HydraConfig.instance().set_config(config)
        os.chdir("/")
        if self.ends:
            run_job(hydra_context=self.hydra_context, task_function=self.task_function, config=config,
                    job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir")
        raise RuntimeError("the node was lost")

ConfigStore.instance().store(
    group="hydra/launcher", name="losing", provider="test",
    node={"_target_": "hydra_plugins.losing.plugin.Losing", "ends": True},
)
'''


@pytest.fixture
def swept(tmp_path: Path) -> Swept:
    return Swept(tmp_path)


class Swept:
    """A sweep of two searches as a program, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *given: str, **environment: str) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join([str(self.folder / "plugins"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "compiler", "-m", *SEARCHES, "sweep=mine", *given]
        env = {**os.environ, "PYTHONPATH": paths, **environment}
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300, check=False
        )

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader((self.folder / "out" / "sweeps" / "mine" / "summary.csv").read_text().splitlines()))

    def found_both(self, done: subprocess.CompletedProcess[str]) -> None:
        """Two plans, two searches, and nothing of the launcher's."""
        assert done.returncode == 0, done.stderr
        assert "2 of 2 plans in out/sweeps/mine" in done.stdout
        assert [row["overrides"] for row in self.rows] == ["model=llama3_1_8b", "model=qwen3_30b_a3b"]
        assert all(whole(self.folder / "out" / "sweeps" / "mine" / row["job"]) for row in self.rows)
        assert len(list((self.folder / "out" / "searches").glob("*/candidates.csv"))) == 2
        assert {path.name for path in (self.folder / "out").iterdir()} == {"searches", "sweeps"}


def installed(package: str) -> pytest.MarkDecorator:
    name = f"hydra-{package.removeprefix('hydra_plugins.hydra_').replace('_', '-')}"
    found = importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(package)
    return pytest.mark.skipif(not found, reason=f"{name} is not installed")


submitit = installed("hydra_plugins.hydra_submitit_launcher")
ray = installed("hydra_plugins.hydra_ray_launcher")


@submitit
@pytest.mark.slow
def test_searches_as_processes_of_submitit(tmp_path: Path) -> None:
    (tmp_path / "Tag (1) = 'x'").mkdir()
    swept = Swept(tmp_path / "Tag (1) = 'x'")
    swept.found_both(swept.run("hydra/launcher=submitit_local"))


@submitit
@pytest.mark.slow
@pytest.mark.xdist_group("slurm-torch")
def test_searches_as_slurm_jobs_and_what_slurm_refuses(swept: Swept) -> None:
    limits = ["hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
    for cluster in slurm_cluster.start(2, 1):
        swept.found_both(swept.run(*limits, SLURM_CONF=cluster.conf))
        refused = swept.run(*limits, "hydra.launcher.partition=nope", SLURM_CONF=cluster.conf)
        assert refused.returncode == 2
        error = refused.stderr.splitlines()[-1]
        assert error.startswith(
            "error: hydra/launcher=submitit_slurm: sbatch: error: invalid partition specified: nope"
        )
        assert error.endswith("; mend hydra.launcher.KEY=... (partition, account, timeout_min, mem_gb and the like)")


@ray
@pytest.mark.slow
def test_searches_on_a_local_ray(swept: Swept) -> None:
    quiet = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    own = [
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init.include_dashboard=false",
    ]
    swept.found_both(swept.run(*own, **quiet))


def losing(folder: Path) -> None:
    (folder / "plugins" / "hydra_plugins" / "losing").mkdir(parents=True)
    (folder / "plugins" / "hydra_plugins" / "losing" / "plugin.py").write_text(PLUGIN)
    (folder / "plugins" / "hydra_plugins" / "losing" / "__init__.py").write_text("")


@pytest.mark.slow
def test_a_job_that_is_lost_is_told_of_and_the_others_stay(swept: Swept) -> None:
    losing(swept.folder)
    done = swept.run("hydra/launcher=losing")
    assert done.returncode == 1, done.stderr
    assert "1 of 2 plans in out/sweeps/mine" in done.stdout
    assert whole(swept.folder / "out" / "sweeps" / "mine" / swept.rows[0]["job"])
    assert "error: model=qwen3_30b_a3b: hydra/launcher=losing: the node was lost ; wait" in done.stderr
    assert (swept.rows[1]["overrides"], swept.rows[1]["status"]) == ("model=qwen3_30b_a3b", "1")
    assert swept.rows[1]["message"] == (
        "hydra/launcher=losing: the node was lost ; wait for jobs that still run, give jobs more by hydra.launcher.KEY=..., keep their logs by "
        "hydra.sweep.dir=FOLDER, or leave hydra/launcher out"
    )


@pytest.mark.slow
def test_a_launcher_that_runs_nothing_leaves_nothing(swept: Swept) -> None:
    losing(swept.folder)
    done = swept.run("hydra/launcher=losing", "hydra.launcher.ends=false")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: hydra/launcher=losing: the node was lost ; ")
    assert {path.name for path in swept.folder.iterdir()} == {"plugins"}  # no empty out


def raised_inside(folder: Path, text: str) -> Launcher:
    """A launcher that raised `text`."""
    path = folder / "hydra_plugins" / "any.py"
    found = Launcher("any")
    with found:
        exec(compile(f"raise ValueError({text!r})", str(path), "exec"))
    return found


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        (
            "When connecting to an existing cluster, object_store_memory must not be provided.",
            "add +hydra.launcher.ray.init.object_store_memory=null",
        ),
        ("[Errno 2] No such file or directory: 'out/.sweep-1'", "sweep in a folder that all nodes share"),
    ],
)
def test_what_launchers_say_and_what_to_write(tmp_path: Path, said: str, instead: str) -> None:
    with pytest.raises(ConfigError) as refused:
        raised_inside(tmp_path, said).told([], ["a=1"])
    assert str(refused.value) == f"hydra/launcher=any: {said} ; {instead}"


def test_what_others_raise_is_no_launchers_failure() -> None:
    with pytest.raises(KeyError, match="mine"), Launcher("any"):
        raise KeyError("mine")


def rows(*plans: tuple[str, str]) -> list[dict[str, object]]:
    return [
        {"number": at, "job": job, "plan": plan, "status": "ok", "message": ""} for at, (job, plan) in enumerate(plans)
    ]


def test_a_plan_of_a_name_that_a_refused_job_has_too_is_good() -> None:
    first, second = rows(("a", "1"), ("a", "2"))
    told = Launcher("any").told([{**first, "status": "2"}, second], "vw")
    assert [row["status"] for row in told] == ["2", "ok"]


@pytest.mark.parametrize(("failure", "stays"), [("a job was lost", True), ("sbatch: error: no partition", False)])
def test_files_of_jobs_that_may_still_run_stay(tmp_path: Path, failure: str, stays: bool) -> None:
    found = raised_inside(tmp_path, failure)
    scratch = Path(found.scratch(str(tmp_path / "out")))
    (scratch / "job.pkl").write_text("")
    found.left(str(scratch))
    assert scratch.exists() is (tmp_path / "out").exists() is stays


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    found = Launcher("any")
    found.left(found.scratch(str(tmp_path)))
    assert tmp_path.exists()


def test_two_plans_of_one_name_are_no_success() -> None:
    told = Launcher("any").told(rows(("a", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("c", "4")), "vwxyz")
    assert [row["status"] for row in told] == ["2", "2", "ok", "ok", "ok"]
    assert told[0]["message"] == (
        "a: another job's plan has this name, and one of them is in the other's place ; "
        "give them other names in their files, or leave hydra/launcher out"
    )


@submitit
def test_a_key_that_a_launcher_has_not(tmp_path: Path) -> None:
    err = refused(tmp_path, "-m", *SEARCHES, "hydra/launcher=submitit_local", "hydra.launcher.nodez=2", code=2).err
    assert err == (
        "error: hydra.launcher.nodez is not a setting of this launcher ; write +hydra.launcher.nodez=... to add it, or see "
        "`python -m compiler hydra/launcher=NAME --cfg hydra -p hydra.launcher`\n"
    )
