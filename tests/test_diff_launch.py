"""`diff` reads launch files by what they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler import compile_plan
from compiler.config.again import compiled
from compiler.diff.command import run
from compiler.diff.options import options
from tests.diffed import DENSE, Folder, changes, compared, compiled_in, copied

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return compiled_in(tmp_path_factory.mktemp("launch"))


class TestLaunch:
    def test_a_value_in_many_files_is_told_once(self, plan: Folder, capsys: Capture) -> None:
        run([str(plan("dense")), "launch.environment.NCCL_DEBUG=INFO", "launch.command=[python3,train.py]"])
        lines = capsys.readouterr().out.splitlines()
        assert len([line for line in lines if "NCCL_DEBUG" in line and "places" in line and "because" not in line]) == 1

    def test_lines_of_another_order_and_comments_mean_nothing(self, plan: Folder, tmp_path: Path) -> None:
        def turned(text: str) -> str:
            first, *others = text.split("\n---\n")
            return "\n---\n".join([first, *reversed(others)])

        def shuffled(text: str) -> str:
            lines = text.splitlines()
            said = [line for line in lines if line.startswith("#SBATCH")]
            rest = [line for line in lines if not line.startswith("#SBATCH")]
            return "\n".join([rest[0], "# a comment", *reversed(said), *rest[1:]])

        edited = copied(
            plan("dense"), tmp_path / "edited", kubernetes__job_dot_yaml=turned, slurm__job_dot_sbatch=shuffled
        )
        found = compared(plan("dense"), edited)
        assert (found.verdict, changes(found, "launch")) == ("cosmetic", [])

    @pytest.mark.parametrize(
        ("file", "was", "becomes", "said"),
        [
            ("slurm__job_dot_sbatch", "--nodes=2", "--nodes=3", "slurm/job.sbatch #SBATCH --nodes: 2 -> 3"),
            ("slurm__job_dot_sbatch", "--wait=600", "--wait=60", "slurm/job.sbatch, a line of its program:"),
            (
                "kubernetes__job_dot_yaml",
                "completions: 2",
                "completions: 3",
                "kubernetes/job.yaml Job.completions: 2 -> 3",
            ),
            ("runtime__bind_dot_py", "import os", "import os, sys", "runtime/bind.py: as they were -> another text"),
            (
                "runtime__launch_dot_json",
                '"max_restarts": 3',
                '"max_restarts": 4',
                "runtime/launch.json max_restarts: 3 -> 4",
            ),
        ],
    )
    def test_a_hand_s_edit_is_seen(
        self, plan: Folder, tmp_path: Path, capsys: Capture, file: str, was: str, becomes: str, said: str
    ) -> None:
        edited = copied(plan("dense"), tmp_path / "edited", **{file: lambda text: text.replace(was, becomes, 1)})
        assert run([str(plan("dense")), str(edited)]) == 1
        ran = capsys.readouterr()
        assert said in ran.out
        assert "is not as it was compiled" in ran.err

    def test_a_key_that_an_older_version_did_not_know_is_its_default(self, plan: Folder, tmp_path: Path) -> None:
        def older(text: str) -> str:
            assert "  recompute_modules: []\n" in text
            return text.replace("  recompute_modules: []\n", "").replace('  cuda_graphs: "none"\n', "")

        edited = copied(plan("dense"), tmp_path / "edited", config_dot_yaml=older)
        assert changes(compared(plan("dense"), edited), "settings") == []


@pytest.mark.parametrize(
    "target", ["kubernetes_job", "jobset", "lws", "trainjob", "volcano", "mpijob", "slurm", "local"]
)
def test_names_and_estimates_run_nothing_under_any_scheduler(target: str, tmp_path: Path) -> None:
    plan = compile_plan([*DENSE, "parallel=tp8_adp2", f"scheduler=[{target}]", "name=a"])
    old = plan.write(tmp_path, "old")
    for number, (override, verdict) in enumerate(
        {
            f"name={'long_' * 18}": "cosmetic",
            "hardware.gpu.compute_efficiency=0.3": "cosmetic",
            "launch.time_limit=01:00:00": "cosmetic",
            "launch.environment.NCCL_DEBUG=INFO": "restart",
        }.items()
    ):
        found = compared(old, compiled(old, [override]).write(tmp_path, f"new{number}"))
        assert found.verdict == verdict, (override, changes(found, "launch"))


@pytest.mark.parametrize(("was", "name"), [("2", "3"), ("other", "8"), ("other", "true"), ("ranks", "python3")])
def test_a_plan_may_be_called_like_a_value(was: str, name: str, tmp_path: Path) -> None:
    old = compile_plan([*DENSE, "parallel=tp8_adp2", f"name={was}"]).write(tmp_path, "old")
    found = compared(old, compiled(old, [f"name={name}", "launch.spare_nodes=1"]).write(tmp_path, "new"))
    assert found.verdict == "restart"
    said = changes(found, "launch")
    assert "slurm/job.sbatch #SBATCH --nodes: 2 -> 3" in said
    assert not [line for line in said if "metadata" in line]


def test_arguments_are_read_by_their_form() -> None:
    given = "prog --a 1 2 --b=x -c --d_e f=g --h=i j=k last"
    assert options(given.split()) == {
        "prog": (),
        "--a": ("1", "2"),
        "--b": ("x",),
        "-c": (),
        "--d-e": ("f=g",),
        "--h": ("i",),
        "j": ("k",),
        "last": (),
    }
