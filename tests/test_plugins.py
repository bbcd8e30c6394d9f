"""Frameworks and schedulers of other packages: installed, found by their entry points, used like ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ROOT, Ran, program

ADAPTER = """
from compiler.checks import check
from compiler.frameworks.adapter import Adapter
from compiler.frameworks.emission import Emission


class Mine(Adapter):
    def declared(self, config):
        yield check(
            "mine-tp",
            holds=config.parallel.tp <= 4,
            observed=config.parallel.tp,
            limit=4,
            message="tp is above 4",
            fix="write parallel.tp=4",
        )

    def emission(self, world):
        return Emission(program=("mine",), arguments=("--tp", str(world.degrees.tp)), unit="rank")


ADAPTER = Mine()
"""
TARGET = """
from dataclasses import dataclass

from compiler.render.artifacts import Artifact
from compiler.schedulers.target import Target
from compiler.specs.fields import between


@dataclass(frozen=True)
class Options:
    lanes: int = between(1, 9, 3)


def artifacts(jobs, options):
    yield Artifact("mine/job", f"{jobs.name} {options.lanes} {' '.join(jobs.parts[0][1].command)}\\n")


TARGET = Target("mine", Options, artifacts, pools=False)
"""
ENTRY_POINTS = """[rankplan.frameworks]
mine = theirs.framework:ADAPTER

[rankplan.schedulers]
mine = theirs.scheduler:TARGET
slurm = theirs.scheduler:TARGET
"""
PROVE = """
from compiler.frameworks.proof import compared


def prove(world, wheel):
    yield compared("tp", world.degrees.tp, 2)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that Python imports from, with another package installed."""
    package = tmp_path / "site" / "theirs"
    package.mkdir(parents=True)
    for name, text in (("__init__", ""), ("framework", ADAPTER), ("scheduler", TARGET)):
        (package / f"{name}.py").write_text(text)
    info = tmp_path / "site" / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path / "site"


def run(*args: str, cwd: Path) -> Ran:
    return program(*args, cwd=cwd, PYTHONPATH=os.pathsep.join((str(ROOT), str(cwd / "site"))))


PLAN = ("hardware.nodes=1", "parallel=tp2_dp4", "model=llama3_1_8b", "~expect", "name=plan")


@pytest.mark.usefixtures("site")
def test_they_are_options_without_a_file(tmp_path: Path) -> None:
    ran = run(*PLAN, "framework=mine", "scheduler=mine", "scheduler.mine.lanes=5", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/plan/mine/job").read_text() == "plan 5 mine --tp 2\n"
    assert json.loads((tmp_path / "out/plan/plan.json").read_text())["world_size"] == 8
    assert 'name: "mine"' in (tmp_path / "out/plan/config.yaml").read_text()


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("overrides", "code", "said"),
    [
        (("framework=mine", "parallel=tp8"), 3, "mine-tp: tp is above 4 ; write parallel=tp"),
        (("framework=mina",), 2, "framework=mina is not known ; did you mean framework=mine"),
        (("scheduler=mine", "scheduler.mine.lanes=99"), 2, "scheduler.mine.lanes=99"),
        (("scheduler=mine", "scheduler.mine.lane=9"), 2, "scheduler.mine.lane is not a setting"),
    ],
)
def test_their_rules_and_options_are_held_like_ours(
    tmp_path: Path, overrides: tuple[str, ...], code: int, said: str
) -> None:
    ran = run(*PLAN, *overrides, cwd=tmp_path)
    assert (ran.code, said in ran.err) == (code, True), ran.err


@pytest.mark.usefixtures("site")
def test_one_that_has_the_name_of_ours_is_passed_over(tmp_path: Path) -> None:
    ran = run(*PLAN, "scheduler=slurm", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/plan/slurm/job.sbatch").exists()


def test_prove_runs_what_lies_beside_the_adapter(site: Path, tmp_path: Path) -> None:
    (site / "theirs" / "prove.py").write_text(PROVE)
    (site / "theirs-1.0.dist-info" / "entry_points.txt").write_text("[rankplan.frameworks]\nmine = theirs:ADAPTER\n")
    (site / "theirs" / "__init__.py").write_text(ADAPTER)
    assert run(*PLAN, "framework=mine", "scheduler=[]", cwd=tmp_path).code == 0
    path = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(site)))}
    prove = [sys.executable, "-m", "compiler.prove", "out/plan"]
    said = subprocess.run(prove, cwd=tmp_path, env=path, capture_output=True, text=True, check=False).stdout
    assert "equal   tp: 2" in said, said
