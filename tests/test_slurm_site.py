"""What differs between sites: blocks and switches, directives, devices; torchrun; and what does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler import compile_plan
from compiler.errors import CompilerError, ConfigError, InvariantError
from compiler.schedulers import registry
from compiler.schedulers.job import Jobs, job
from compiler.schedulers.slurm import request, rules
from compiler.schedulers.slurm.checks import checks
from compiler.specs.hardware import Fabric
from compiler.specs.site import Site
from tests.plans import files, plan
from tests.slurm_scripts import at, calls, directives, script

RAILS = Fabric(kind="rail_optimized", nodes_per_leaf=2)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"site": at(placement="switches", switch_wait="30:00")}, {"switches": "3@30:00"}),
        ({"site": at(placement="segment"), "spare_nodes": 1}, {"segment": "2"}),
        ({"site": at(placement="segment"), "options": {"segment": 3}, "spare_nodes": 1}, {"segment": "3"}),
        ({"site": at(placement="segment"), "domain_gpus": 24, "spare_nodes": 1}, {"segment": "3"}),
        ({"site": at(placement="segment"), "options": {"segment": 18}}, {"segment": "5"}),
        ({"site": at(directives={"mem": None, "gres-flags": "allow-task-sharing", "hint": "nomultithread"})},
         {"gres-flags": "allow-task-sharing", "hint": "nomultithread"}),
    ],
)  # fmt: skip
def test_directives_of_a_site(given: dict[str, Any], expected: dict[str, str]) -> None:
    found = directives(plan(5, 8, **given))
    assert expected.items() <= found.items()
    assert {"switches", "segment"} & set(found) == {"switches", "segment"} & set(expected)
    assert ("mem" in found) is (given["site"].slurm.directives == {})


@pytest.mark.parametrize("name", sorted(rules.DECIDED))
def test_directives_that_fight_the_plan_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"site.slurm.directives.{name} is not for a site to set"):
        files(plan(site=at(directives={name: "1"})))


def test_a_directive_without_a_value_is_a_bare_line() -> None:
    found = directives(plan(site=at(directives={"reboot": True, "hint": "nomultithread"})))
    assert (found["reboot"], found["hint"]) == ("", "nomultithread")
    assert "#SBATCH --reboot\n" in script(plan(site=at(directives={"reboot": True})))


def test_arrays_and_dependencies_are_asked_for() -> None:
    made = plan(options={"array": "0-9%1", "dependency": "singleton"})
    found = directives(made)
    assert (found["array"], found["dependency"]) == ("0-9%1", "singleton")
    assert "job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" in script(made)
    assert "SLURM_ARRAY_*) ;;" in script(made)
    assert "SLURM_ARRAY" not in script(plan())
    with pytest.raises(ConfigError, match=r"scheduler.slurm.array=all is no array of Slurm ; write as in 0-9%1"):
        files(plan(options={"array": "all"}))
    with pytest.raises(ConfigError, match="is no array of Slurm"):
        files(plan(options={"array": "\u0661-\u0663"}))


def test_devices_are_named_to_nccl_and_bound() -> None:
    site = Site(name="test", nics=["mlx5_1", "mlx5_10"], numa=[0, 1], interface="eth0")
    made = plan(2, 2, site=site, fabric=RAILS, environment={"NCCL_CROSS_NIC": "1"})
    assert dict(job(made).environment) == {
        "NCCL_IB_HCA": "=mlx5_1,mlx5_10", "NCCL_CROSS_NIC": "1", "NCCL_SOCKET_IFNAME": "=eth0", "GLOO_SOCKET_IFNAME": "eth0"
    }  # fmt: skip
    text = script(made)
    assert "    --cpu-bind=map_ldom:0,1 \\\n" in text.replace("'", "")
    launch = json.loads(str(files(made)["runtime/launch.json"].text))
    assert (launch["nics"], launch["numa"]) == (["mlx5_1", "mlx5_10"], [0, 1])
    assert "NCCL_CROSS_NIC" in dict(job(plan(2, 2, site=site, fabric=RAILS)).environment)
    assert "NCCL_CROSS_NIC" not in dict(job(plan(2, 2, site=site)).environment)


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ({"pass_environment": ["A B"]}, "site.slurm.pass_environment holds 'A B' ; write names of variables"),
        ({"directives": {"nodes": 4}}, "site.slurm.directives.nodes is not for a site to set"),
        ({"directives": {"distribution": "arbitrary"}}, "site.slurm.directives.distribution is not for a site to set"),
        (
            {"directives": {"mem-per-cpu": "4G"}},
            "mem-per-cpu is not for a site to set: site.slurm.all_memory, or directives.mem",
        ),
        ({"directives": {"exclusive": True}}, "exclusive is not for a site to set: site.slurm.exclusive decides it"),
        ({"directives": {"gpu-bind": "closest"}}, "gpu-bind is not for a site to set: the binding of ranks decides it"),
        (
            {"directives": {"reboot": False}},
            "reboot=False is no directive of Slurm ; write NAME: VALUE, true for one without",
        ),
        ({"directives": {"Reboot": True}}, "Reboot=True is no directive of Slurm"),
        ({"directives": {"hint": "a\nb"}}, "site.slurm.directives.hint holds 'a\\nb', and a directive is one line"),
        ({"switch_wait": "soon"}, "site.slurm.switch_wait=soon is no time of Slurm"),
        ({"topology_command": []}, "site.slurm.topology_command names no program"),
        ({"health_command": ["a\0"]}, "site.slurm.health_command[0] holds a NUL"),
    ],
)
def test_what_a_site_may_not_write_is_refused(site: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as found:
        files(plan(site=at(**site)))
    assert message in str(found.value)


def test_a_topology_command_orders_hosts(tmp_path: Path) -> None:
    command = ["bash", "-c", 'while read -r host; do echo "$host pod/leaf$((9 - ${host#n} % 2))"; done']
    made = plan(4, 1, site=at(topology_command=command))
    calls(made, tmp_path)
    assert (tmp_path / "sub mit" / "rankplan-7" / "hosts").read_text().split() == ["n1", "n3", "n0", "n2"]


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (
            ["hardware=gb200_nvl72", "site=slurm_gb200", "parallel=ep16_tp4_pp4_dp4"],
            InvariantError,
            "14 segments and 4 nodes over, which Slurm refuses ; write scheduler.slurm.segment=16 or launch.spare_nodes=14",
        ),
        (
            ["site.nics=[a,b]"],
            InvariantError,
            "site-devices: site.nics has 2 entries, and a node of generic_64gb has 8",
        ),
        (
            ["site.numa=[0]"],
            InvariantError,
            "site-devices: site.numa has 1 entries, and a node of generic_64gb has 8 GP",
        ),
        (
            ["site.nics=[a,b,c,d,e,f,g,'h,i']"],
            InvariantError,
            "site-devices: site.nics holds 'h,i', and a device name has letters",
        ),
        (["launch.checkpoint=saved"], ConfigError, "launch.checkpoint=saved is relative, and nothing says to what"),
        (["launch.preflight.timeout_s=0"], ConfigError, "launch.preflight.timeout_s=0 is below 1"),
        (
            ["launch.command=[torchrun,'--rdzv-backend=c10d',train.py]"],
            ConfigError,
            "launch.command gives torchrun --rdzv-backend=c10d, and the plan decides that",
        ),
        (
            ["launch.command=[torchrun]"],
            ConfigError,
            "launch.command has torchrun start nothing ; end it with your script",
        ),
        (["launch.command=[ft_launcher,--x]"], ConfigError, "launch.command has ft_launcher start nothing"),
        (
            ["launch.command=[torchrun,train.py]", "launch.unit=rank"],
            ConfigError,
            "launch.unit=rank would start torchrun 8 times on each node ; write launch.unit=node",
        ),
        (
            ["launch.command=[ft_launcher,train.py]", "scheduler.slurm.array='0-9%1'"],
            InvariantError,
            "nvrx-array: scheduler.slurm.array=0-9%1: of a task of an array NVRx starts nothing more once one of its",
        ),
    ],
)
def test_what_does_not_fit_is_said_when_compiling(
    overrides: list[str], error: type[CompilerError], message: str
) -> None:
    with pytest.raises(error) as found:
        compile_plan(["scheduler=slurm", *overrides])
    assert message in str(found.value)


@pytest.mark.parametrize(
    ("overrides", "name", "message"),
    [
        (
            ["site=slurm_dgx_h100", "launch.image=nvcr.io/x:1"],
            "slurm-image",
            "128 nodes import nvcr.io#x:1 from its regis",
        ),
        (
            ["launch.command=[torchrun,a.py]", "launch.restart_codes=[7]"],
            "slurm-restart-codes",
            "torchrun exits 1 whatever",
        ),
        (
            ["launch.command=[ft_launcher,a.py]", "launch.restart_codes=[7]"],
            "slurm-restart-codes",
            "ft_launcher exits 1 whatever",
        ),
        (["site=slurm_dgx_h100", "launch.mounts=[/a:/b]"], "slurm-containers", "launch.mounts has no effect"),
    ],
)
def test_what_may_hurt_is_warned_of(overrides: list[str], name: str, message: str) -> None:
    plan = compile_plan(["scheduler=slurm", *overrides])
    assert [message in check.message for check in plan.checks if (check.id, check.status) == (name, "warn")] == [True]


@pytest.mark.parametrize("command", [["torchrun"], ["/opt/bin/torchrun"], ["python3", "-m", "torch.distributed.run"]])
def test_torchrun_has_a_static_rendezvous(tmp_path: Path, command: list[str]) -> None:
    """One agent a node, whose node rank is the slot."""
    made = plan(2, 4, command=[*command, "--max-restarts=0", "train.py", "--node-rank=x"])
    found = job(made)
    assert (found.unit, found.tasks) == ("node", 2)
    words = json.loads(str(files(made)["runtime/launch.json"].text))["command"]
    texts = [word if isinstance(word, str) else word["text"] for word in words]
    assert texts == [
        *command, "--nnodes=2", "--nproc-per-node=4", "--node-rank={NODE_RANK}", "--rdzv-backend=static",
        "--master-addr={MASTER_ADDR}", "--master-port={MASTER_PORT}", "--max-restarts=0", "train.py", "--node-rank=x",
    ]  # fmt: skip


def test_columns_of_the_rank_map_name_a_ranks_devices() -> None:
    given = ["scheduler=slurm", "site=slurm_dgx_h100", "hardware=h100_80gb"]
    table = compile_plan(given).rank_map
    assert table["nic"][8:16].tolist() == [
        "mlx5_0",
        "mlx5_3",
        "mlx5_4",
        "mlx5_5",
        "mlx5_6",
        "mlx5_9",
        "mlx5_10",
        "mlx5_11",
    ]
    assert table["rail"][8:16].tolist() == list("01234567")
    assert table["numa"][8:16].tolist() == list("00001111")
    table = compile_plan(["scheduler=[]", "hardware.nic.per_node=4", "hardware.fabric.kind=fat_tree"]).rank_map
    assert table["nic"][:8].tolist() == list("00112233")
    assert set(table["rail"]) == set(table["numa"]) == {""}


@pytest.mark.parametrize(("instances", "status"), [(19_999, "pass"), (20_000, "fail")])
def test_every_instance_of_a_job_has_a_port(instances: int, status: str) -> None:
    given = replace(job(plan(4, 4)), instances=instances)
    jobs = Jobs("small", "0" * 64, (("", given),))
    found = next(check for check in checks(jobs, registry.target("slurm").options()) if check.id == "slurm-ports")
    assert (found.status, found.limit) == (status, "19999")
    assert found.message.startswith(f"{instances} instances of one job have ports of their own, and there are 20000")
    assert (request.of(given, registry.target("slurm").options()).ports > 0) is (status == "pass")
