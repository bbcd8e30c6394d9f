"""Servers are reached from elsewhere: their own argument classes say so of ours, and Kubernetes has the way to them."""

from __future__ import annotations

import ast
import socket
from typing import Any

import pytest

from compiler.frameworks.adapter import adapter
from compiler.frameworks.lifted import Source
from compiler.passes import compile_config
from compiler.pools import compile_any
from compiler.report import sections
from compiler.report.markdown import markdown
from compiler.schedulers import reach, registry
from compiler.schedulers.job import job
from compiler.specs.config import Config
from tests import manifests, sglang_arguments
from tests.configs import composed
from tests.controllers import CONTROLLERS, Node, Pod, loaded, pods
from tests.wheels import wheel

ON = ("model=llama3_1_8b", "hardware=h100_80gb", "workload.global_batch_size=32", "launch.image=i")
HTTP = {"vllm": 8000, "sglang": 30000, "tensorrt_llm": 8000}
FOUR = ("parallel=tp8_pp2", "hardware.nodes=4", "framework.instances=2")
"""Two servers of two nodes each."""


def started(config: Config) -> list[str]:
    """The arguments of the first node, with its own port."""
    emission = adapter(config.framework.name).emission(compile_config(config).world)
    return [item if isinstance(item, str) else item.text.format_map(_Any()) for item in emission.arguments]


class _Any(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "1"


@pytest.mark.parametrize(
    ("args", "expected"),
    [([], ("0.0.0.0", 30000)), (["--host=::"], ("::", 30000)), (["--port", "9000", "--host", "10.0.0.1"], ("10.0.0.1", 9000))],
)  # fmt: skip
@pytest.mark.parametrize("version", ["0.5.21", "0.5.23"])
def test_sglang_listens_where_clients_elsewhere_reach_it(
    version: str, args: list[str], expected: tuple[str, int]
) -> None:
    source = Source("sglang", wheel("sglang", version))
    config = composed(*ON, *FOUR, "framework=sglang", f"framework.version={version}", f"framework.args={args}")
    found = sglang_arguments.parsed(source, "serving", "Serving", started(config))
    assert (found.host, found.port) == expected
    (launched,) = set(reach.http_ports(job(compile_config(config))))
    assert launched == found.port
    assert sglang_arguments.parsed(source, "serving", "Serving", []).host == "127.0.0.1"  # why it must be told


def test_vllm_listens_where_clients_elsewhere_reach_it() -> None:
    """Its own default is no host at all, which its own function makes a socket of for every address."""
    source = Source("vllm", wheel("vllm", "0.33.0"))
    (fields,) = [
        {
            ast.unparse(item.target): item.value.value
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.value, ast.Constant)
        }
        for node in source.tree("entrypoints/common/cli_args.py").body
        if isinstance(node, ast.ClassDef) and node.name == "FrontendArgs"
    ]
    config = composed(*ON, *FOUR, "framework=vllm")
    assert not [word for word in started(config) if word.startswith(("--host", "--port"))]
    assert fields["port"] == HTTP["vllm"] == reach.http_ports(job(compile_config(config)))[0]
    made = source.lift(
        "entrypoints/launchers/launcher.py",
        "create_server_socket",
        socket=socket,
        is_valid_ipv6_address=lambda host: ":" in host,
    ).create_server_socket((fields["host"] or "", 0), reuse_port=False)
    with made:
        assert made.getsockname()[0] == "0.0.0.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
@pytest.mark.parametrize("framework", HTTP)
def test_a_server_that_only_its_own_node_hears_is_warned_of(framework: str, host: str) -> None:
    args = f"framework.args=[{'m,' if framework == 'tensorrt_llm' else ''}--host,'{host}']"
    plan = compile_config(composed(*ON, *FOUR, f"framework={framework}", args))
    (found,) = [item for item in plan.checks if item.id == f"{framework}-host"]
    assert (found.status, found.fix) == ("warn", "leave --host out of framework.args")
    assert f"listens on {host}, where nobody on another machine reaches it" in found.message


def documents(*overrides: str) -> list[Node]:
    made = compile_config(composed(*ON, *overrides))
    files = [item for item in registry.artifacts(made) if item.path.startswith("kubernetes/")]
    return [document for item in files for document in loaded(str(item.text))]


def selected(selector: dict[str, str], found: list[Pod]) -> list[Pod]:
    return [pod for pod in found if selector.items() <= pod.labels.items()]


@pytest.mark.parametrize("target", CONTROLLERS)
@pytest.mark.parametrize("framework", HTTP)
def test_a_service_leads_to_rank_0_of_every_instance_once_it_is_ready(framework: str, target: str) -> None:
    found = documents(*FOUR, f"framework={framework}", f"scheduler={target}")
    manifests.fit(found)
    (service,) = [
        item["spec"] for item in found if item["kind"] == "Service" and item["metadata"]["name"].endswith("-http")
    ]
    (port,) = service["ports"]
    assert (port["port"], port["targetPort"], service["publishNotReadyAddresses"]) == (HTTP[framework], "http", False)
    leaders = selected(service["selector"], pods(found))
    assert [pod.index for pod in leaders] == [0, 0]
    for pod in leaders:
        (container,) = pod.spec["containers"]
        assert {"name": "http", "containerPort": HTTP[framework]} in container["ports"]
        assert "readinessProbe" in container


@pytest.mark.parametrize("target", CONTROLLERS)
@pytest.mark.parametrize(("shape", "total", "stay"), [(FOUR, 4, 3), (("parallel=tp8_pp2", "hardware.nodes=2"), 2, 2)])
def test_pods_of_servers_are_drained_one_at_a_time(target: str, shape: tuple[str, ...], total: int, stay: int) -> None:
    """The only server goes when a person says so."""
    found = documents(*shape, "framework=vllm", f"scheduler={target}")
    (budget,) = [item["spec"] for item in found if item["kind"] == "PodDisruptionBudget"]
    assert budget["minAvailable"] == stay
    ranks = selected(budget["selector"]["matchLabels"], pods(found))
    assert len(ranks) == total
    assert all(pod.index >= 0 for pod in ranks)


@pytest.mark.parametrize("target", CONTROLLERS)
def test_a_plan_that_serves_nothing_has_no_service_of_it(target: str) -> None:
    found = documents("parallel=tp8", "hardware.nodes=1", f"scheduler={target}", "framework=none")
    assert not [item for item in found if item["kind"] == "PodDisruptionBudget"]
    assert not [item for item in found if "http" in item["metadata"]["name"]]


SHARED = ("parallel=tp2", "hardware.nodes=1", "framework.instances=4")


@pytest.mark.parametrize(("framework", "step"), [("vllm", 1), ("sglang", 1000)])
def test_pods_share_no_ports_unless_they_share_their_nodes(framework: str, step: int) -> None:
    def numbers(*overrides: str) -> list[int]:
        found = pods(documents(*SHARED, f"framework={framework}", "scheduler=jobset", *overrides))
        ports: list[Any] = [
            port for pod in found for port in pod.spec["containers"][0]["ports"] if port["name"] == "http"
        ]
        alone = {pod.environment.get("RANKPLAN_OWN_NETWORK") for pod in found}
        assert alone == ({None} if overrides else {"1"})
        return [port["containerPort"] for port in ports]

    assert numbers() == [HTTP[framework]] * 4
    assert numbers("site.kubernetes.host_network=true") == [HTTP[framework] + step * i for i in range(4)]


@pytest.mark.parametrize("target", CONTROLLERS)
def test_a_router_finds_each_server_of_both_pools_once_it_is_ready(target: str) -> None:
    given = ("hardware.nodes=5", "framework=sglang", f"scheduler={target}")
    config = composed(*ON, *given, "workload.pools={prefill: {parallel: tp8, instances: 3}, decode: {parallel: tp16}}")
    files = [item for item in registry.artifacts(compile_any(config)) if item.path.startswith("kubernetes/")]
    found = [document for item in files for document in loaded(str(item.text))]
    manifests.fit(found)
    services = {item["metadata"]["name"]: item["spec"] for item in found if item["kind"] == "Service"}
    (text,) = {item["data"]["endpoints"] for item in found if "endpoints" in item.get("data", {})}
    lines = [line.split() for line in text.splitlines()]
    assert [line[:2] for line in lines] == [["prefill", "0"], ["prefill", "1"], ["prefill", "2"], ["decode", "0"]]
    for role, instance, _, port, url in lines:
        scheme, _, place = url.partition("://")
        name, _, number = place.partition(":")
        assert (scheme, number, port) == ("http", "30000", "29500")
        assert (services[name]["clusterIP"], services[name]["publishNotReadyAddresses"]) == ("None", False)
        (pod,) = selected(services[name]["selector"], pods(found))
        assert (pod.index, pod.labels["app.kubernetes.io/component"]) == (0, role)
        assert target == "mpijob" or pod.environment["RANKPLAN_INSTANCE"] == instance
    for role, count in (("prefill", 3), ("decode", 1)):
        (together,) = [spec for name, spec in services.items() if name.endswith(f"-{role}-http")]
        assert len(selected(together["selector"], pods(found))) == count
        assert "clusterIP" not in together
    open_to_all = [spec for spec in services.values() if any(port["name"] == "http" for port in spec["ports"])]
    assert not [spec for spec in open_to_all if spec["publishNotReadyAddresses"]]


def test_a_person_is_told_what_to_type() -> None:
    config = composed(
        *ON, *FOUR, "framework=vllm", "scheduler=[slurm,jobset]", "scheduler.jobset.namespace=team", "name=served"
    )
    made = compile_config(config)
    assert registry.asked(made) == {
        "slurm": "curl \"$(sed -n '1s/.* //p' rankplan-JOB/endpoints)/v1/models\"",
        "jobset": "kubectl port-forward -n team service/served-http 8000 & sleep 2; curl http://localhost:8000/v1/models",
    }
    text = markdown(made.name, sections.of(made, made.to_dict()))
    assert all(f"- {name}: `{command}`" in text for name, command in registry.asked(made).items())
    assert registry.asked(compile_config(composed(*ON, "parallel=tp8", "hardware.nodes=1"))) == {}


def test_a_server_with_a_certificate_is_asked_by_https() -> None:
    config = composed(
        *ON, *FOUR, "framework=vllm", "scheduler=jobset", "framework.args=['--ssl-certfile=/c','--ssl-keyfile=/k']"
    )
    command = registry.asked(compile_config(config))["jobset"]
    assert command.endswith("curl -k https://localhost:8000/v1/models")
