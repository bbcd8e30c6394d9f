"""Tables, lists and answers of nodes that are not whole: every program of the runtime says which, and stops."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from tests.malformed import COLUMNS, ROWS, TABLE, eight_ranks, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return eight_ranks(tmp_path)


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
