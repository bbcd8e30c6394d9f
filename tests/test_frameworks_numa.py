"""Servers that start a node's processes themselves bind them to the NUMA nodes of their GPUs, as the site says."""

from __future__ import annotations

import ast

import pytest

from compiler.frameworks.adapter import adapter
from compiler.frameworks.lifted import Source
from compiler.passes import compile_config
from compiler.schedulers.job import job
from compiler.schedulers.slurm import request
from compiler.schedulers.targets.slurm import Options
from tests import sglang_arguments
from tests.configs import composed
from tests.wheels import wheel

ON = ("model=llama3_1_8b", "hardware=h100_80gb", "workload.global_batch_size=32")
NODE = ("parallel=tp8", "hardware.nodes=1")
NUMA = [0, 0, 0, 0, 1, 1, 1, 1]
DGX = "site=slurm_dgx_h100"
FLAGS = {"sglang": ["--numa-node"], "vllm": ["--numa-bind", "--numa-bind-nodes"]}


def said(framework: str, *overrides: str) -> list[str]:
    config = composed(*ON, f"framework={framework}", *overrides)
    words = [
        item if isinstance(item, str) else item.text
        for item in adapter(framework).emission(compile_config(config).world).arguments
    ]
    return [word for word in words if "numa" in word or word in ("0", "1")]


@pytest.mark.parametrize("framework", FLAGS)
def test_what_the_site_says_is_asked_for(framework: str) -> None:
    assert said(framework, *NODE, DGX) == [*FLAGS[framework], *map(str, NUMA)]
    assert said(framework, *NODE) == []
    assert said(framework, "parallel=tp2", "hardware.nodes=1", "framework.instances=4", DGX) == []  # they share a node


@pytest.mark.parametrize(
    ("framework", "args"),
    [
        ("sglang", "--numa-node,0,1"),
        ("vllm", "--no-numa-bind"),
        ("vllm", "--numa_bind"),
        ("vllm", "--numa-bind-cpus,0-3"),
    ],
)
def test_a_users_own_binding_stays(framework: str, args: str) -> None:
    assert not set(FLAGS[framework]) & set(said(framework, *NODE, DGX, f"framework.args=[{args}]")) - set(
        args.split(",")
    )


def test_sglangs_parser_has_a_node_for_each_process() -> None:
    source = Source("sglang", wheel("sglang", "0.5.23"))
    assert sglang_arguments.parsed(source, "device", "Device", said("sglang", *NODE, DGX)).numa_node == NUMA


def test_vllm_has_the_options() -> None:
    source = Source("vllm", wheel("vllm", "0.33.0"))
    (config,) = [
        node
        for node in source.tree("config/parallel.py").body
        if isinstance(node, ast.ClassDef) and node.name == "ParallelConfig"
    ]
    types = {
        ast.unparse(item.target): ast.unparse(item.annotation)
        for item in config.body
        if isinstance(item, ast.AnnAssign)
    }
    assert (types["numa_bind"], types["numa_bind_nodes"]) == ("bool", "list[int] | None")
    assert "'--numa-bind-nodes'" in ast.unparse(source.tree("engine/arg_utils.py"))


@pytest.mark.parametrize("framework", FLAGS)
def test_srun_leaves_the_binding_to_the_server(framework: str) -> None:
    """Bound to the cores of one task, numactl could choose none of the other NUMA node."""
    made = job(compile_config(composed(*ON, *NODE, f"framework={framework}", DGX, "scheduler=slurm")))
    assert "--cpu-bind=none" in request.of(made, Options()).step


def test_pods_need_a_capability_for_it() -> None:
    def status(*overrides: str) -> list[str]:
        plan = compile_config(
            composed(
                *ON,
                *NODE,
                "framework=vllm",
                "scheduler=lws",
                "launch.image=i",
                "site.numa=[0,0,0,0,1,1,1,1]",
                *overrides,
            )
        )
        return [item.status for item in plan.checks if item.id == "numa"]

    assert status() == ["warn"]
    assert status("site.kubernetes.capabilities=[SYS_NICE]") == ["pass"]
    assert status("framework.args=[--no-numa-bind]") == []
