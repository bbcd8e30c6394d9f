"""Whether a pod's server takes requests, asked of a real HTTP server; and who asks."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from compiler.passes import compile_config
from compiler.schedulers import registry, runtime_files
from compiler.schedulers.job import job
from tests.configs import composed
from tests.controllers import loaded

ON = ("model=llama3_1_8b", "hardware=h100_80gb", "workload.global_batch_size=32")


@contextmanager
def server(status: int, host: str = "127.0.0.1", certificate: Path | None = None) -> Iterator[int]:
    """The port of a server whose /health answers with `status`, and everything else with 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    class Family(HTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    found = Family((host, 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        found.socket = context.wrap_socket(found.socket, server_side=True)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    try:
        yield found.server_port
    finally:
        found.shutdown()
        found.server_close()
        thread.join()


def ask(
    folder: Path, *overrides: str, worker: str = "0", instance: str = "0", node: str = "LWS_WORKER_INDEX"
) -> tuple[int, str]:
    made = job(compile_config(composed(*ON, "framework=vllm", *overrides)))
    for name, text in runtime_files.files(made).items():
        (folder / name).write_text(text, encoding="utf-8")
    environment = {
        "LWS_WORKER_INDEX": worker,
        "JOB_INDEX": "0",
        "RANKPLAN_INSTANCE": instance,
        "http_proxy": "http://127.0.0.1:1",
    }
    command = [sys.executable, "-I", "-S", str(folder / "ready.py"), f"--node={node}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


NODE = ("parallel=tp8", "hardware.nodes=1")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_ready_is_what_health_says(tmp_path: Path, status: int, code: int) -> None:
    with server(status) as port:
        found, said = ask(tmp_path, *NODE, f"framework.args=['--port={port}']")
    assert found == code
    assert said == ("" if code == 0 else f"rankplan: not ready: /health on port {port} answers 503\n")


@pytest.mark.parametrize(("asked", "listens"), [("::", "::1"), ("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "127.0.0.1")])
def test_a_server_is_asked_where_it_listens(tmp_path: Path, asked: str, listens: str) -> None:
    with server(200, listens) as port:
        assert ask(tmp_path, *NODE, f"framework.args=['--port={port}','--host={asked}']") == (0, "")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_with_a_certificate_is_asked_by_it(tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    command = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=elsewhere -keyout {own} -out {tmp_path}/c.pem"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    own.write_text(own.read_text() + (tmp_path / "c.pem").read_text())
    with server(200, certificate=own) as port:
        flags = f"framework.args=['--port={port}','--ssl-certfile=/c','--ssl-keyfile=/k']"
        assert ask(tmp_path, *NODE, flags) == (0, "")


@pytest.mark.parametrize(("node", "code"), [("4+2*JOB_INDEX", 0), ("2*JOB_INDEX", 1), ("2*NO_SUCH", 1), ("$(X)", 1)])
def test_the_place_of_a_pod_is_worked_out_from_variables_that_it_has(tmp_path: Path, node: str, code: int) -> None:
    """No server is there: a pod is ready where it needs none, and says what is wrong else."""
    found, said = ask(tmp_path, *NODE, node=node)
    assert (found, bool(said)) == (code, bool(code))


def test_a_server_that_is_not_there_is_not_ready(tmp_path: Path) -> None:
    with server(200) as port:
        pass
    found, said = ask(tmp_path, *NODE, f"framework.args=[--port,'{port}']")
    assert found == 1
    assert said.startswith("rankplan: not ready: ")
    assert said.count("\n") == 1


def test_instances_that_share_a_node_are_asked_at_their_own_ports(tmp_path: Path) -> None:
    """vLLM's instance i of a node is at 8000 + i; what asks reads the same words as what starts it."""
    ask(tmp_path, "parallel=tp2", "hardware.nodes=1", "framework.instances=4")
    launch = json.loads((tmp_path / "launch.json").read_text())
    (flag,) = [word for word in launch["command"] if isinstance(word, dict) and "--port" in word["text"]]
    assert launch["http_port"] == {**flag, "text": flag["text"].removeprefix("--port=")}


def test_nodes_without_a_server_are_ready(tmp_path: Path) -> None:
    assert ask(tmp_path, "parallel=tp8_pp2", "hardware.nodes=2", worker="1") == (0, "")


@pytest.mark.parametrize(
    ("framework", "kind"), [("vllm", True), ("sglang", True), ("tensorrt_llm", True), ("none", False)]
)
def test_a_group_of_pods_is_ready_when_its_server_is(framework: str, kind: bool) -> None:
    config = composed(*ON, *NODE, f"framework={framework}", "scheduler=lws", "launch.image=i")
    files = {item.path: str(item.text) for item in registry.artifacts(compile_config(config))}
    (found,) = [item for item in loaded(files["kubernetes/lws.yaml"]) if item["kind"] == "LeaderWorkerSet"]
    (container,) = found["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"]
    command = container.get("readinessProbe", {}).get("exec", {}).get("command")
    assert command == (
        ["python3", "-I", "-S", "/etc/rankplan/runtime/ready.py", "--node=LWS_WORKER_INDEX"] if kind else None
    )
