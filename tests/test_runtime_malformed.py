"""Files and variables that are not what they should be: exit code 64 and one line, from every program, before anything starts."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.malformed import KNOWN, TABLE, eight_ranks, run
from tests.probes import RANK_5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return eight_ranks(tmp_path)


Edit = Callable[[dict[str, Any]], Any]
LAUNCHES: list[tuple[Edit, str]] = [
    (lambda launch: [launch], "content: expected a mapping"),
    (lambda launch: {**launch, "world_size": "8"}, "world_size: expected a whole number, 1 to "),
    (lambda launch: {**launch, "world_size": True}, "world_size: expected a whole number"),
    (lambda launch: {**launch, "world_size": 16}, "world_size is 16, and 2 nodes run 4 ranks each on 4 GPUs"),
    (lambda launch: {**launch, "ranks_per_node": 10**12}, "ranks_per_node: expected a whole number, 1 to 1024"),
    (lambda launch: {**launch, "unit": "pod"}, "unit: expected rank or node, found 'pod'"),
    (lambda launch: {**launch, "command": "true"}, "command: expected a list, found 'true'"),
    (lambda launch: {**launch, "command": ["a\0b"]}, "command[0]: expected a text"),
    (lambda launch: {**launch, "command": ["\ud800"]}, "command[0]: expected a text"),
    (lambda launch: {**launch, "command": [{"text": "{HOME}", "times": 1}]}, "command[0]: expected a text"),
    (lambda launch: {**launch, "environment": {"A": 1}}, "environment.A: expected a text, found 1"),
    (lambda launch: {**launch, "environment": {"A=B": ""}}, "'A=B' is no name of a variable"),
    (lambda launch: {**launch, "hosts": ["a"]}, "hosts has 1 names, and 2 nodes hold ranks"),
    (lambda launch: {**launch, "nics": ["a"]}, "nics has 1 entries for 4 GPUs"),
    (lambda launch: {**launch, "numa": [None] * 4}, "numa[0]: expected a whole number"),
    (lambda launch: {**launch, "preflight": {}}, "there is no preflight.enabled"),
    (lambda launch: {key: launch[key] for key in launch if key != "secrets"}, "there is no secrets"),
    (lambda launch: {**launch, "computed_environment": {"A": {"text": "{0.x}", "times": 1}}}, "computed_environment.A.text: expected no names"),
]  # fmt: skip
PROGRAMS = [
    ("probe", ()),
    ("spawn", ("--all",)),
    ("bind", (".",)),
    ("preflight", (".",)),
    ("attempt", (".", "begin", "0")),
    ("rank_map", ("3",)),
]


@pytest.mark.parametrize(("edit", "message"), LAUNCHES)
def test_a_launch_of_another_shape_is_named(folder: Path, edit: Edit, message: str) -> None:
    path = folder / "runtime" / "launch.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    assert f"{path}: {message}" in run(folder, "probe").stderr


CONTENTS = [
    b"",
    b"{",
    b"\xff",
    b"[" * 100000,
    b"null",
    b'{"schema": "rankplan.launch/1"}',
    b"\0" * 9,
    b"\xef\xbb\xbf{}",
]


@pytest.mark.parametrize(("name", "words"), PROGRAMS)
def test_every_program_refuses_a_launch_that_is_none(folder: Path, name: str, words: Sequence[str]) -> None:
    path = folder / "runtime" / "launch.json"
    for content in CONTENTS:
        path.write_bytes(content)
        assert str(path) in run(folder, name, *words).stderr
    path.unlink()
    assert f"{path}: No such file" in run(folder, name, *words).stderr
    os.mkfifo(path)
    assert f"{path}: is no regular file" in run(folder, name, *words).stderr
    path.unlink()
    path.mkdir()
    assert str(path) in run(folder, name, *words).stderr


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RANKPLAN_INSTANCE", "x", "RANKPLAN_INSTANCE: expected a number, found 'x'"),
        ("RANKPLAN_INSTANCE", "²", "RANKPLAN_INSTANCE: expected a number"),
        ("RANK", "9" * 5000, "RANK: expected a number, found '999"),
        ("MASTER_PORT", "0", "MASTER_PORT: expected a port, 1 to 65535, found 0"),
        ("RANKPLAN_GRACE_S", "30s", "RANKPLAN_GRACE_S: expected a number, found '30s'"),
        ("RANKPLAN_POOL", "../x", "RANKPLAN_POOL: expected the name of a pool, found '../x'"),
        ("RANKPLAN_LOGS", "/no/such", "/no/such/rank-5.log: expected one that can be used, found No such file"),
    ],
)
def test_a_variable_is_named_with_its_value(folder: Path, name: str, value: str, message: str) -> None:
    assert message in run(folder, "probe", changed={name: value}).stderr


def test_a_line_names_the_pool_and_holds_no_control_byte(folder: Path) -> None:
    said = run(folder, "probe", RANKPLAN_POOL="decode", SLURMD_NODENAME="n\x1b[0m", RANK="x").stderr
    assert said == "rankplan: decode: rank x on n\\x1b[0m: RANK: expected a number, found 'x'\n"


@pytest.mark.parametrize("value", ["x", "-1", "65536"])
def test_spawn_refuses_its_own_variables_before_it_starts_anything(folder: Path, value: str) -> None:
    for name in ("RANKPLAN_DNS_WAIT_S", "RANKPLAN_GRACE_S", "RANKPLAN_INSTANCE", "NODE_RANK"):
        if value != "65536" or name == "NODE_RANK":
            assert name in run(folder, "spawn", changed={name: value}).stderr
    assert "MASTER_PORT: expected " in run(folder, "spawn", "--all", MASTER_PORT=value).stderr
    assert "--node: expected a sum" in run(folder, "spawn", "--node=1*$(A)").stderr


def test_words_that_are_none_are_one_line(folder: Path) -> None:
    for name in ("bind", "attempt", "rank_map", "preflight"):
        assert ": write " in run(folder, name).stderr
    assert "attempt or limit: expected a number, found 'x'" in run(folder, "attempt", ".", "begin", "x").stderr
    assert "NODE_RANK: expected a number" in run(folder, "spawn", NODE_RANK="UNSET").stderr


@pytest.mark.parametrize(("name", "words"), [("probe", ()), ("rank_map", ("3",))])
def test_nobody_reads_and_nothing_happens(folder: Path, name: str, words: Sequence[str]) -> None:
    """Output and error are pipes whose readers have gone, or closed."""
    (folder / "plan.json").write_text("{}")
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / f"{name}.py"), *words]
    for environment in (KNOWN, {**KNOWN, "RANK": "x"}):
        ends = []
        for redirect in ("", ">&- 2>&-", "| true"):
            text = f'trap "" PIPE; "$@" {redirect}; exit ${{PIPESTATUS[0]}}'
            done = subprocess.run(
                ["bash", "-c", text, "-", *command], env=environment, capture_output=True, check=False
            )
            ends.append(done.returncode)
        assert len(set(ends)) == 1, ends


def mutated(chance: random.Random, content: bytes) -> bytes:
    """One change: bytes cut, doubled, replaced, or a value of JSON exchanged."""
    at, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    found = bytes(chance.choices(b'0129-[]{}",:\0\n\xff ae', k=chance.randrange(1, 5)))
    return chance.choice([content[:at], content[at:], content[:at] + content[end:], content[:at] + found + content[end:],
                          content[:at] + found + content[at:], content[:end] + content[at:end] + content[end:]])  # fmt: skip


def exchanged(chance: random.Random, value: Any) -> Any:
    """The same with one value of its own, somewhere, replaced by another."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        return {**value, key: exchanged(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.7:
        return [*value[:-1], exchanged(chance, value[-1])]
    return chance.choice(
        [None, True, 0, -1, 1, 3, 2**40, 1e400, float("nan"), "", "x", "\ud800", "a\0", [], [[]], {}, {"a": 1}]
    )


NAMES = [*RANK_5, "RANKPLAN_INSTANCE", "RANKPLAN_GRACE_S", "RANKPLAN_DNS_WAIT_S", "RANKPLAN_POOL", "RANKPLAN_HOSTS",
         "RANKPLAN_LOGS", "RANKPLAN_FAILURE", "RANKPLAN_REPORT", "RANKPLAN_PLAN", "RANKPLAN_SYS", "CUDA_VISIBLE_DEVICES",
         "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS", "SLURMD_NODENAME", "NODE_NAME", "LANG"]  # fmt: skip
VALUES = [
    "",
    " ",
    "0",
    "1",
    "-1",
    "x",
    "1e9",
    "²",
    "9" * 30,
    "1\n",
    "\udcff",
    "/",
    "/dev/null",
    "/no/such",
    "a,b",
    "\x1b[0m",
]


def test_whatever_is_changed_there_is_no_traceback(folder: Path, tmp_path: Path) -> None:
    chance = random.Random(12)
    launch, table = folder / "runtime" / "launch.json", folder / "rank_map.csv"
    original = launch.read_bytes()
    for turn in range(40):
        values, kind = {"RANKPLAN_DNS_WAIT_S": "0", "MASTER_PORT": "UNSET"}, turn % 4
        launch.write_bytes(original)
        table.write_text(TABLE)
        if kind == 0:
            launch.write_bytes(mutated(chance, original))
        elif kind == 1:
            launch.write_text(json.dumps(exchanged(chance, json.loads(original))))
        elif kind == 2:
            table.write_bytes(mutated(chance, TABLE.encode()))
        else:
            values = {name: chance.choice(VALUES) for name in chance.sample(NAMES, 3)} | {"RANKPLAN_DNS_WAIT_S": "0"}
        name, words = chance.choice([("probe", ()), ("probe", ("--slurm",)), ("spawn", ("--all",)), ("spawn", ())])
        done = run(folder, name, *words, code=None, changed=values)
        assert done.returncode in (0, 64, 65, 66), (turn, done)
        assert bool(done.stderr) or done.returncode == 0
