"""Hosts of an allocation -> slots."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compiler.cluster import inventory
from compiler.runtime import bind
from tests.plans import SmallPlan, plan, write

TABLE = "host,leaf,pod,rack\n" + "".join(f"n{i},leaf{10 - i % 2},p{i % 3},r{i}\n" for i in range(12))


def run(made: SmallPlan, folder: Path, hosts: str) -> subprocess.CompletedProcess[str]:
    out = folder / "run"
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(write(made, folder) / "runtime" / "bind.py"), str(out)]
    return subprocess.run(command, input=hosts, capture_output=True, text=True, check=False)


def lines(folder: Path, name: str) -> list[str]:
    return (folder / "run" / name).read_text().split()


def test_without_a_table_hosts_run_in_natural_order(tmp_path: Path) -> None:
    done = run(plan(3, 2, spare_nodes=1), tmp_path, "n66\nn7\nn100\nn8\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(tmp_path, "hosts") == ["n7", "n8", "n66"]
    assert lines(tmp_path, "spares") == ["n100"]
    assert lines(tmp_path, "hostfile.0") == ["n7", "n7", "n8", "n8", "n66", "n66"]


def test_a_table_sorts_as_the_compiler_does(tmp_path: Path) -> None:
    assert run(plan(12, 1, hosts=TABLE), tmp_path, "\n".join(f"n{i}" for i in range(12))).returncode == 0
    assert lines(tmp_path, "hosts") == [host.host for host in inventory.read(TABLE)]
    assert [bind.natural(name) for name in ("a10b", "")] == [list(inventory.natural(name)) for name in ("a10b", "")]


@pytest.mark.parametrize(
    ("made", "hosts", "message"),
    [
        (plan(3, 1), "a b", "the plan needs 3 hosts, the allocation has 2"),
        (plan(2, 1), "a a", "the allocation names a host twice: a a"),
        (plan(12, 1, hosts=TABLE), "n1 x n2", "not in the plan's inventory, so in no known place: x"),
        (plan(12, 1, hosts=TABLE, pin=True), "n1 x", "the allocation is not the plan's hosts: -n0 -n2 -n3"),
    ],
)
def test_hosts_that_do_not_fit_exit_65(tmp_path: Path, made: SmallPlan, hosts: str, message: str) -> None:
    done = run(made, tmp_path, hosts)
    assert done.returncode == 65
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "run").iterdir())


def test_pinned_hosts_keep_the_plans_slots(tmp_path: Path) -> None:
    made = plan(12, 1, hosts=TABLE, pin=True)
    assert run(made, tmp_path, " ".join(f"n{i}" for i in reversed(range(12)))).returncode == 0
    assert tuple(lines(tmp_path, "hosts")) == made.world.slots.hosts


@pytest.mark.parametrize(
    ("made", "hostfiles"),
    [
        (plan(4, 2, instances=2), [["a", "a", "b", "b"], ["c", "c", "d", "d"]]),
        (plan(2, 4, instances=4), [["a", "a"], ["a", "a"], ["b", "b"], ["b", "b"]]),
        (plan(2, 4, instances=2, unit="node"), [["a"], ["b"]]),
    ],
)
def test_instances_have_nodes_of_their_own(tmp_path: Path, made: SmallPlan, hostfiles: list[list[str]]) -> None:
    assert run(made, tmp_path, "d c b a" if made.world.slots.count == 4 else "b a").returncode == 0
    assert [lines(tmp_path, f"hostfile.{i}") for i in range(len(hostfiles))] == hostfiles


def test_a_missing_launch_file_is_a_wrong_configuration(tmp_path: Path) -> None:
    folder = write(plan(), tmp_path)
    (folder / "runtime" / "launch.json").unlink()
    command = [sys.executable, str(folder / "runtime" / "bind.py"), str(tmp_path)]
    done = subprocess.run(command, input="a", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (64, 1)
