"""A report of pools says how the router before them is started, with the servers of the plan."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from compiler.api import compile_plan
from compiler.schedulers.registry import routed

COMMON = ("model=qwen3_30b_a3b", "hardware=h100_80gb", "hardware.nodes=3", "scheduler=[slurm,lws]")
SHARED = "workload.pools={prefill: {parallel: %s, instances: 3}, decode: {parallel: %s, instances: 2}}"
DEGREES = {"sglang": "tp4", "vllm": "ep4_etp1_tp4_adp1", "tensorrt_llm": "ep4_etp1_tp4_adp1"}
ENDPOINTS = """prefill 0 n1 29500 http://n1:{0}
prefill 1 n1 29501 http://n1:{1}
prefill 2 n2 29502 http://n2:{0}
decode 0 n3 29503 http://n3:{0}
decode 1 n3 29504 http://n3:{1}
"""


def routers(framework: str, *overrides: str) -> dict[str, str]:
    pools = SHARED % (DEGREES[framework], DEGREES[framework])
    return routed(compile_plan([*COMMON, f"framework={framework}", pools, *overrides]))


def started(command: str, folder: Path, *ports: int) -> list[str]:
    """Words that a shell makes of a command on Slurm, where the job wrote its endpoints."""
    (folder / "rankplan-JOB").mkdir()
    (folder / "rankplan-JOB" / "endpoints").write_text(ENDPOINTS.format(*ports), encoding="utf-8")
    shown = "".join(f'{name}() {{ printf "%s\\n" "$@"; }}; ' for name in ("python3", "vllm-router"))
    script = f"{shown}trtllm-serve() {{ true; }}; {command}"
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]


def test_sglang_under_slurm(tmp_path: Path) -> None:
    words = started(routers("sglang")["slurm"], tmp_path, 30000, 31000)
    assert words == [
        *("-m", "sglang_router.launch_router", "--pd-disaggregation"),
        *("--prefill", "http://n1:30000", "8998", "--prefill", "http://n1:31000", "8999", "--prefill", "http://n2:30000", "8998"),
        *("--decode", "http://n3:30000", "--decode", "http://n3:31000", "--host", "0.0.0.0", "--port", "8000"),
    ]  # fmt: skip


def test_vllm_under_slurm(tmp_path: Path) -> None:
    words = started(routers("vllm")["slurm"], tmp_path, 8000, 8001)
    assert words == [
        *("--vllm-pd-disaggregation", "--kv-connector", "nixl"),
        *("--prefill", "http://n1:8000", "--prefill", "http://n1:8001", "--prefill", "http://n2:8000"),
        *("--decode", "http://n3:8000", "--decode", "http://n3:8001", "--host", "0.0.0.0", "--port", "8000"),
    ]


def test_another_connector_of_vllm() -> None:
    moved = """framework.args=['--kv-transfer-config={"kv_connector":"MooncakeConnector","kv_role":"kv_both"}']"""
    assert " --kv-connector mooncake " in routers("vllm", moved)["slurm"]


def test_tensorrt_llm_under_slurm(tmp_path: Path) -> None:
    started(routers("tensorrt_llm")["slurm"], tmp_path, 8000, 8001)
    assert yaml.safe_load((tmp_path / "disagg.yaml").read_text()) == {
        "hostname": "0.0.0.0",
        "port": 8000,
        "backend": "pytorch",
        "context_servers": {"num_instances": 3, "urls": ["n1:8000", "n1:8001", "n2:8000"]},
        "generation_servers": {"num_instances": 2, "urls": ["n3:8000", "n3:8001"]},
    }


@pytest.mark.parametrize("framework", DEGREES)
def test_a_pod_runs_it_on_kubernetes(framework: str) -> None:
    words = shlex.split(routers(framework, "launch.image=mine/image", "scheduler.lws.namespace=serving")["lws"])
    assert words[:4] == ["kubectl", "run", "-n", "serving"]
    assert {"--image=mine/image", "--port=8000"} <= set(words)
    assert len(words[4]) <= 63
    assert len(re.findall(r"-http-[0-9]+:", words[-1])) == 5
    assert subprocess.run(["bash", "-n", "-c", words[-1]], check=False).returncode == 0


def test_pods_of_a_node_share_its_second_ports() -> None:
    pools = "workload.pools={prefill: {parallel: tp4, instances: 3}, decode: {parallel: tp8}}"
    plan = compile_plan([*COMMON, "framework=sglang", pools, "site.kubernetes.host_network=true", "scheduler=jobset"])
    words = shlex.split(routed(plan)["jobset"])[-1].split()
    assert [words[index + 2] for index, word in enumerate(words) if word == "--prefill"] == ["8998", "8999", "8998"]


def test_the_report_says_it(tmp_path: Path) -> None:
    plan = compile_plan([*COMMON, "framework=sglang", SHARED % ("tp4", "tp4")])
    text = (plan.write(str(tmp_path)) / "report.md").read_text(encoding="utf-8")
    assert "sglang_router.launch_router" in text
    assert "curl http://ROUTER:8000/v1/models" in text
