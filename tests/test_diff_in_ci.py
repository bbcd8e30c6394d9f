"""The CI examples of docs/diff.md: their lines, run by bash in a clone of a local repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler import compile_plan
from tests.command import ROOT
from tests.plan_edits import DOCS

OVERRIDES = ["framework=megatron", "model=llama3_1_8b", "parallel=tp4_adp4", "hardware=h100_80gb", "hardware.nodes=2"]
OVERRIDES += ["workload=train", "workload.recompute=full", "name=train"]
WHO = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]


def examples() -> list[dict[str, Any]]:
    """The YAML blocks of the page, GitHub's first."""
    blocks = re.findall(r"(?ms)^```yaml\n(.*?)^```$", DOCS.read_text(encoding="utf-8"))
    return [yaml.safe_load(block) for block in blocks]


def lines(service: str) -> str:
    """What a runner hands to bash, an installation aside: GitHub runs each step with -e, GitLab all with -e and pipefail."""
    github, gitlab = examples()
    if service == "github":
        found = "\n".join(step["run"] for step in github["jobs"]["plan"]["steps"] if "run" in step)
    else:
        found = "\n".join(["set -o pipefail", *gitlab["plan"]["before_script"], *gitlab["plan"]["script"]])
    assert found.count("pip install rankplan") == 1
    return found.replace("pip install rankplan", ":")


def git(where: Path, *args: str) -> None:
    subprocess.run(["git", *WHO, *args], cwd=where, check=True, capture_output=True)


def written(repository: Path, overrides: list[str]) -> None:
    """The overrides, an override a line."""
    (repository / "plans").mkdir(exist_ok=True)
    (repository / "plans" / "train.txt").write_text("".join(f"{override}\n" for override in overrides))


def recompiled(repository: Path, overrides: list[str]) -> None:
    written(repository, overrides)
    compile_plan(overrides).write(repository / "plans", "train")


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose branch main has a plan."""
    place = tmp_path_factory.mktemp("main")
    git(place, "init", "--quiet", "repository")
    recompiled(place / "repository", OVERRIDES)
    git(place / "repository", "add", ".")
    git(place / "repository", "commit", "--quiet", "--message=a plan")
    return place / "repository"


@pytest.fixture(params=["github", "gitlab"])
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pull_request(main: Path, service: str, tmp_path: Path) -> Callable[[], tuple[int, str]]:
    """Runs the example in a clone; gives its exit code, and the comparison that it leaves."""
    git(tmp_path, "clone", "--quiet", str(main), "clone")
    program = tmp_path / "bin" / "rankplan"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m compiler.rankplan "$@"\n')
    program.chmod(0o755)
    summary = tmp_path / "summary.md" if service == "github" else tmp_path / "clone" / "diff.md"
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_BASE_REF": "main",
        "GITHUB_STEP_SUMMARY": str(summary),
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    }

    def run() -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-e", "-c", lines(service)],
            cwd=tmp_path / "clone",
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, summary.read_text() if summary.exists() else done.stdout + done.stderr

    return run


Run = Callable[[], tuple[int, str]]


def test_nothing_changed(pull_request: Run) -> None:
    code, said = pull_request()
    assert (code, said.splitlines()[0]) == (0, "## identical")


def test_a_change_that_trains_differently_is_shown_and_passes(pull_request: Run, tmp_path: Path) -> None:
    recompiled(tmp_path / "clone", [*OVERRIDES, "workload.global_batch_size=512"])
    code, said = pull_request()
    assert (code, said.splitlines()[0]) == (0, "## trains-differently")
    assert "- `workload.global_batch_size` `1024` to `512`" in said


def test_a_plan_that_was_not_compiled_again_fails(pull_request: Run, tmp_path: Path) -> None:
    written(tmp_path / "clone", [*OVERRIDES, "workload.global_batch_size=512"])
    code, said = pull_request()
    assert code == 1
    assert "another input: workload.global_batch_size=512: workload.global_batch_size: was 1024, is 512" in said


def test_a_change_that_breaks_resume_fails_and_says_why(pull_request: Run, tmp_path: Path) -> None:
    recompiled(tmp_path / "clone", [*OVERRIDES, "parallel.tp=8", "parallel.adp=2"])
    code, said = pull_request()
    assert (code, said.splitlines()[0]) == (1, "## breaks-resume")
    assert "--dist-ckpt-optim-fully-reshardable" in said
