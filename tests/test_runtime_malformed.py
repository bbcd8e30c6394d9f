"""Files and variables that are not what they should be: exit code 64 and one line, from every program, before anything starts."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.plans import plan, write
from tests.probes import RANK_5

COLUMNS = "rank,slot,host,local_rank,tp,cp,dp,pp,etp,ep,edp,layers,experts,nic"
ROWS = [f"{rank},{rank // 4},,{rank % 4},0,0,0,0,,,,0-1,,mlx5_0" for rank in range(8)]
TABLE = "\n".join([COLUMNS, *ROWS, ""])
KNOWN = {**RANK_5, "PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "node2", "RANKPLAN_GRACE_S": "1", "LANG": "C.UTF-8"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight ranks on two nodes, with a table."""
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t")
    made = write(plan(2, 4, command=["true"], secrets={"TOKEN": str(secret)}), tmp_path / "plan")
    (made / "rank_map.csv").write_text(TABLE)
    return made


def run(
    folder: Path,
    name: str,
    *words: str,
    code: int | None = 64,
    given: bytes = b"",
    changed: Mapping[str, str] | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """A program of the plan; with a `code`, it ends with that and one line."""
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / f"{name}.py"), *words]
    known = {key: value for key, value in {**KNOWN, **environment, **(changed or {})}.items() if value != "UNSET"}
    raw = subprocess.run(command, env=known, input=given, capture_output=True, check=False, timeout=60)
    done = subprocess.CompletedProcess(command, raw.returncode, raw.stdout.decode(), raw.stderr.decode())
    assert "Traceback" not in done.stderr, done.stderr
    if code is not None:
        assert done.returncode == code, done
        assert (done.stderr.count("\n"), done.stderr[:10]) == (int(code != 0), "rankplan: "[: 10 * (code != 0)]), (
            done.stderr
        )
    return done


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


TABLES: list[tuple[str | bytes, str]] = [
    ("", "expected a header that begins with rank,slot"),
    (TABLE[:-1], ""),
    ("\n".join([COLUMNS, *ROWS[:-1], ""]), ""),
    ("\n".join([COLUMNS, *ROWS, ROWS[-1], ""]), ""),
    (TABLE.replace("slot", "node"), "expected a header"),
    (TABLE.replace("3,0,,3", "3,0,3"), ""),
    (TABLE[: len(TABLE) // 2], ""),
    (b"\xff\xfe" * 40, ""),
    (b"\0" * 4000, ""),
]


@pytest.mark.parametrize(("content", "message"), TABLES)
def test_a_table_that_is_not_whole_stops_the_node(folder: Path, content: str | bytes, message: str) -> None:
    path = folder / "rank_map.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for words in (("--all",), ()):
        said = run(folder, "spawn", *words).stderr
        assert str(path) in said
        assert message in said
    if content != TABLE.replace("3,0,,3", "3,0,3"):  # in the middle: the node's starter alone reads all
        assert str(path) in run(folder, "probe").stderr


def test_a_whole_table_is_fine_and_a_row_of_another_place_is_none(folder: Path) -> None:
    path = folder / "rank_map.csv"
    assert run(folder, "spawn", "--all", code=None, MASTER_PORT="UNSET").returncode == 0
    path.write_text(TABLE.replace("\n5,1,,1", "\n5,1,,2"))
    assert "rank, slot and local rank: expected ('5', '1', '1'), found" in run(folder, "spawn", code=65).stderr


def test_a_compressed_part_that_is_cut_off_is_named(folder: Path) -> None:
    (folder / "rank_map.csv").unlink()
    path = folder / "rank_map.csv.000.gz"
    path.write_bytes(gzip.compress(TABLE.encode()))
    assert run(folder, "spawn", "--all", code=None, MASTER_PORT="UNSET").returncode == 0
    for content in (path.read_bytes()[:-9], b"\x1f\x8b", b"no gzip"):
        path.write_bytes(content)
        assert str(path) in run(folder, "spawn").stderr


@pytest.mark.parametrize("content", [b"", b"node1\n", b"\xff\n", b"node1\nnode2\nnode3\n", b"node1\0\nnode2\n"])
def test_a_list_of_hosts_that_is_not_whole_is_named(folder: Path, content: bytes) -> None:
    hosts = folder / "hosts"
    hosts.write_bytes(content)
    assert str(hosts) in run(folder, "probe", RANKPLAN_HOSTS=str(hosts)).stderr


@pytest.mark.parametrize(
    "content", [b"", b"host,leaf\na,b\n", b"host,leaf,pod\na,l\n", b"\xff", b"host,leaf,pod\n\0,l,p\n"]
)
def test_an_inventory_that_is_not_whole_is_named(folder: Path, content: bytes) -> None:
    path = folder / "runtime" / "inventory.csv"
    path.write_bytes(content)
    assert str(path) in run(folder, "bind", str(folder), given=b"a\nb\n").stderr


@pytest.mark.parametrize("content", [None, b"a\0b", b"x" * 200000])
def test_a_secret_that_cannot_be_one_is_named_and_not_shown(folder: Path, content: bytes | None) -> None:
    path = folder.parent / "secret"
    path.unlink()
    os.mkfifo(path) if content is None else path.write_bytes(content)
    said = run(folder, "probe").stderr
    assert f"secret TOKEN: {path}: " in said
    assert "xxx" not in said


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": "rankplan.summary/1", "job": "7", "attempts": [1]}', "\0"]
)
def test_a_summary_that_is_none_is_named(folder: Path, content: str) -> None:
    path = folder / "summary.json"
    path.write_text(content)
    for words in (["begin", "0"], ["stop", "0"], ["end", "0", "none", "99", "0"]):
        assert str(path) in run(folder, "attempt", str(folder), *words, SLURM_JOB_ID="7").stderr


def test_an_end_without_a_beginning_is_named(folder: Path) -> None:
    assert "no attempt has begun" in run(folder, "attempt", str(folder), "end", "0", "none", "99", "0").stderr


def test_half_an_answer_of_a_node_is_that_nodes_own(folder: Path) -> None:
    seen = folder / "seen"
    seen.mkdir()
    fine = {"host": "a", "address": "a", "problem": None, "versions": {"driver": "1", "NCCL": 22304}}
    (seen / "a.json").write_text(json.dumps(fine))
    (seen / "b.json").write_text(json.dumps(fine)[:20])
    run(folder, "preflight", str(seen), "--judge", str(folder), code=None, given=b"a\nb\n")
    assert (folder / "exclude").read_text() == "b gave no answer\n"


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
