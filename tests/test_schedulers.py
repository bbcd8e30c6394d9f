"""Targets, their options, and what a user may write under `launch`."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import yaml

from compiler.errors import ConfigError
from compiler.render.assets import folder
from compiler.schedulers import registry
from compiler.schedulers.job import job
from compiler.schedulers.runtime_files import PROGRAMS
from compiler.specs.ranges import problems
from compiler.specs.site import Site
from tests.plans import HOSTILE, files, plan


@pytest.mark.parametrize("name", registry.names())
def test_a_group_file_lists_every_option_with_its_default(name: str) -> None:
    text = (folder("conf") / "scheduler" / f"{name}.yaml").read_text()
    options = registry.target(name).options()
    assert text.startswith(f"# @package scheduler.{name}\n")
    assert yaml.safe_load(text) == dataclasses.asdict(options)
    assert not list(problems(options))
    assert dataclasses.fields(options)
    assert options.__dataclass_params__.frozen


def test_targets_are_found_by_their_modules() -> None:
    assert {"kubernetes_job", "local", "slurm"} <= set(registry.names())
    assert [target.name for target in registry.choose(["local", "slurm"])] == ["local", "slurm"]
    with pytest.raises(ConfigError, match=r"scheduler=pbs is not a known scheduler ; write one of .*local, .*slurm"):
        registry.target("pbs")


def test_two_kubernetes_controllers_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 Kubernetes controllers, kubernetes_job and kubernetes_job ; keep one"):
        registry.choose(["kubernetes_job", "slurm", "kubernetes_job"])


def test_runtime_is_written_once_and_only_for_a_target() -> None:
    made = plan(scheduler=("slurm", "kubernetes_job", "local"))
    paths = [item.path for item in registry.artifacts(made)]
    assert len(paths) == len(set(paths))
    assert {"slurm/job.sbatch", "kubernetes/job.yaml", "local/run.sh"} <= set(paths)
    runtime = {"runtime/launch.json", *(f"runtime/{name}.py" for name in PROGRAMS)}
    assert {"runtime/bind.py", "runtime/groups.py", "runtime/probe.py", "runtime/spawn.py"} < runtime
    assert {path for path in paths if path.startswith("runtime/")} == runtime
    assert not list(registry.artifacts(plan(scheduler=())))


def test_launch_json_stays_small() -> None:
    def text(nodes: int) -> str:
        return str(files(plan(nodes, 8))["runtime/launch.json"].text)

    assert len(text(1024)) < len(text(2)) + 60  # digits of counts
    assert json.loads(text(2))["world_size"] == 16


def test_launch_values_are_decided_once() -> None:
    site = Site(name="test", environment={"A": "site", "B": "site"}, mounts=["/data:/data:ro"])
    found = job(plan(4, 2, site=site, environment={"B": "launch"}, mounts=[{"source": "/a:b", "target": "/c"}]))
    assert found.environment == (("A", "site"), ("B", "launch"))
    assert [(mount.source, mount.target, mount.read_only) for mount in found.mounts] == [
        ("/data", "/data", True),
        ("/a:b", "/c", False),
    ]
    assert (found.command, found.unit, found.nodes, found.tasks) == ((), "rank", 4, 8)


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        ({"environment": {"RANK": "1"}}, "launch.environment.RANK is set by the launcher"),
        ({"environment": {"RANKPLAN_PLAN": "1"}}, "launch.environment.RANKPLAN_PLAN is set by the launcher"),
        ({"environment": {"SLURM_HOSTFILE": "1"}}, "launch.environment.SLURM_HOSTFILE is set by the launcher"),
        ({"environment": {"1A": ""}}, "launch.environment holds '1A', which is no variable name"),
        ({"environment": {"A\n": ""}}, r"launch.environment holds 'A\\n', which is no variable name"),
        ({"environment": {"A": "x\0"}}, "launch.environment.A holds a NUL"),
        ({"environment": {"A": "\udcff"}}, "launch.environment.A is not UTF-8 text"),
        ({"command": ["a", "\0"]}, r"launch.command\[1\] holds a NUL"),
        ({"command": []}, "launch.command names no program"),
        ({"command": [""]}, "launch.command names no program"),
        ({"workdir": ""}, "launch.workdir is empty"),
        ({"python": " "}, "launch.python is empty"),
        ({"time_limit": "24h"}, "launch.time_limit=24h is not a time above zero ; write HH:MM:SS"),
        ({"time_limit": "00:00:00"}, "launch.time_limit=00:00:00 is not a time above zero"),
        ({"time_limit": "01:60:00"}, "launch.time_limit=01:60:00 is not a time"),
        ({"mounts": ["/a"]}, r"launch.mounts\[0\]=/a is not a mount ; write /source:/target"),
        ({"mounts": ["a:/b"]}, r"launch.mounts\[0\]=a:/b is not a mount"),
        ({"mounts": ["/a:/b:x"]}, r"launch.mounts\[0\]=/a:/b:x is not a mount"),
        ({"mounts": [{"source": "/a"}]}, "is not a mount"),
        ({"mounts": [{"source": "/a", "target": "/b", "read_only": "no"}]}, "is not a mount"),
        ({"secrets": {"TOKEN": "hunter2"}}, "launch.secrets.TOKEN is not a reference"),
        ({"secrets": {"TOKEN": {"secret": "s"}}}, "launch.secrets.TOKEN is not a reference"),
        ({"secrets": {"TOKEN": {"value": "s"}}}, "launch.secrets.TOKEN is not a reference"),
        ({"secrets": {"RANK": "/f"}}, "launch.secrets.RANK is set by the launcher"),
        ({"secrets": {"A": "/f"}, "environment": {"A": "1"}}, "launch.secrets.A is also an environment value"),
    ],
)
def test_bad_values_are_refused_with_their_key(launch: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as found:
        job(plan(**launch))
    assert "hunter2" not in str(found.value)


def test_every_bad_value_is_listed() -> None:
    with pytest.raises(ConfigError) as found:
        job(plan(time_limit="x", environment={"RANK": "", "1": ""}, mounts=["x"]))
    assert len(found.value.problems) == 4


def test_an_instance_fills_nodes_or_an_equal_part() -> None:
    assert job(plan(1, 8, instances=2)).ranks_per_node == 4


@pytest.mark.parametrize("scheduler", registry.names())
def test_the_same_plan_gives_the_same_bytes(scheduler: str) -> None:
    made = plan(scheduler=(scheduler,), environment=dict(reversed(HOSTILE.items())))
    again = plan(scheduler=(scheduler,), environment=HOSTILE)
    assert files(made) == files(again)
