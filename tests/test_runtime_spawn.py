"""The launcher of a node's ranks: variables, signals, failures; and what the programs may be written in."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compiler.schedulers.runtime_files import PROGRAMS
from tests.plans import plan, write

RUNTIME = Path(__file__).parents[1] / "compiler" / "runtime"
NODE_1 = {"NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1234", "PATH": "/usr/bin:/bin"}


def spawn(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start node 1 of 2, two ranks each."""
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / "spawn.py")]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env={**NODE_1, **environment}, stdout=pipe, stderr=pipe, text=True)


def bash(script: str, folder: Path, unit: str = "rank") -> Path:
    return write(plan(2, 2, unit=unit, command=["bash", "-c", script]), folder)


def test_ranks_have_all_their_variables(tmp_path: Path) -> None:
    show = "import json,os; print(json.dumps(dict(os.environ)))"
    process = spawn(write(plan(2, 2, command=[sys.executable, "-c", show]), tmp_path), RANK="99", LOCAL_RANK="99")
    out, err = process.communicate()
    ranks = sorted((json.loads(text) for text in out.splitlines()), key=lambda row: str(row["RANK"]))
    wanted = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1"}
    assert [(row["RANK"], row["LOCAL_RANK"]) for row in ranks] == [("2", "0"), ("3", "1")]
    assert all(wanted.items() <= row.items() for row in ranks)
    assert (process.returncode, err) == (0, "rankplan: 2 processes ended with exit code 0\n")


def test_one_process_a_node(tmp_path: Path) -> None:
    process = spawn(bash('echo "$NODE_RANK ${RANK-none} ${LOCAL_RANK-none}"', tmp_path, unit="node"), RANK="7")
    assert process.communicate()[0] == "1 none none\n"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("((RANK != 3)) || exit 7; sleep 60", 7),
        ("((RANK != 3)) || kill -KILL $$; sleep 60", 137),
        ("trap 'exit 9' TERM; ((RANK != 3)) || exit 7; sleep 60 & wait", 7),
    ],
)
def test_the_first_failing_ranks_code_ends_the_node(tmp_path: Path, script: str, code: int) -> None:
    start = time.monotonic()
    process = spawn(bash(script, tmp_path))
    err = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert f"rank 3 ended with exit code {code}; ending the other 1" in err
    assert time.monotonic() - start < 20


def test_a_rank_that_ignores_term_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; ((RANK != 3)) || { sleep 0.5; exit 7; }; while true; do sleep 0.1; done"
    process = spawn(bash(script, tmp_path), RANKPLAN_GRACE_S="1")
    process.communicate(timeout=30)
    assert process.returncode == 7


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1", "USR2"])
def test_signals_reach_every_rank(tmp_path: Path, name: str) -> None:
    script = f"trap 'echo {name}; exit 0' {name}; echo ready; while true; do sleep 0.05; done"
    process = spawn(bash(script, tmp_path))
    assert process.stdout
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.communicate(timeout=30)[0].split() == [name, name]
    assert process.returncode == 0


def test_a_failed_self_check_is_the_nodes_exit_code(tmp_path: Path) -> None:
    folder = bash("sleep 60", tmp_path)
    process = spawn(folder, NODE_RANK="7")
    err = process.communicate(timeout=30)[1]
    assert process.returncode == 64
    assert "NODE_RANK: expected one below 2, found 7" in err


def test_the_wait_for_rank_0_is_bounded(tmp_path: Path) -> None:
    process = spawn(bash("true", tmp_path), MASTER_ADDR="no-such-host.invalid", RANKPLAN_DNS_WAIT_S="0")
    err = process.communicate(timeout=30)[1]
    assert process.returncode == 64
    assert "MASTER_ADDR=no-such-host.invalid does not resolve after 0 s" in err


@pytest.mark.parametrize(
    "argument",
    [
        "--parent=" + "9" * 5000,
        "--parent=",
        "--parent=0",
        "--parent",
        "--nope",
        "--node",
        "--all=1",
        "-h",
        "x",
        "--stay=",
        "",
    ],
)
def test_an_argument_that_is_none_is_one_line(tmp_path: Path, argument: str) -> None:
    folder = bash("true", tmp_path)
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / "spawn.py"), argument, "--stay"]
    done = subprocess.run(command, env=NODE_1, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 64
    assert done.stderr.startswith("rankplan: ranks cannot be started: ")
    assert done.stderr.count("\n") == 1
    assert ascii(argument[:20].partition("=")[2] if argument.startswith("--parent=") else argument)[:-1] in done.stderr


def test_a_host_of_rank_0_that_is_not_set_is_not_waited_for(tmp_path: Path) -> None:
    err = spawn(bash("true", tmp_path), MASTER_ADDR="").communicate(timeout=30)[1]
    assert (
        err
        == "rankplan: ranks cannot be started: MASTER_ADDR: expected the host of rank 0, found nothing: it is not set\n"
    )


def test_missing_variables_are_one_line(tmp_path: Path) -> None:
    folder = bash("true", tmp_path)
    command = [sys.executable, str(folder / "runtime" / "spawn.py")]
    environment = {"MASTER_ADDR": "127.0.0.1", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert "NODE_RANK" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_python_3_6_and_standard_library(name: str) -> None:
    tree = ast.parse((RUNTIME / f"{name}.py").read_text(), feature_version=(3, 6))
    for_types = {
        id(node) for test in tree.body if isinstance(test, ast.If) for part in test.body for node in ast.walk(part)
    }
    imported = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    inside = {
        id(node) for function in tree.body if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
    }
    modules = {
        (str(node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0], id(node) in inside)
        for node in imported
        if id(node) not in for_types
    }
    allowed = {("torch", True)} if name == "groups" else set()  # a job that wants groups has it
    known = (sys.stdlib_module_names | set(PROGRAMS)) - {"__future__"}
    assert {module for module, _ in modules - allowed} <= known
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]


def test_programs_have_names_of_their_own() -> None:
    """They are last on the path, where a library's module of the same name would hide them."""
    assert not set(PROGRAMS) & sys.stdlib_module_names


@pytest.mark.parametrize("parent", ["", "x", "-1", "\u00b2", "9" * 5000])
def test_a_parent_that_is_no_process_ends_it_without_a_traceback(tmp_path: Path, parent: str) -> None:
    command = [sys.executable, "-I", "-S", str(bash("true", tmp_path) / "runtime" / "spawn.py"), f"--parent={parent}"]
    done = subprocess.run(command, env=NODE_1, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (64, "", 1)
    assert "Traceback" not in done.stderr
