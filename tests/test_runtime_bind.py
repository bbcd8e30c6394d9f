"""Hosts of an allocation -> slots."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.cluster import inventory
from compiler.cluster.packing import Blocks
from compiler.runtime import bind, planned
from compiler.words import natural
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
    assert done.returncode == 0
    assert done.stderr == "rankplan: 3 hosts in slots, ordered by name; spare: n100; left out: none\n"
    assert lines(tmp_path, "hosts") == ["n7", "n8", "n66"]
    assert lines(tmp_path, "spares") == ["n100"]
    assert lines(tmp_path, "hostfile.0") == ["n7", "n7", "n8", "n8", "n66", "n66"]


def test_a_table_sorts_as_the_compiler_does(tmp_path: Path) -> None:
    assert run(plan(12, 1, hosts=TABLE), tmp_path, "\n".join(f"n{i}" for i in range(12))).returncode == 0
    assert lines(tmp_path, "hosts") == [host.host for host in inventory.read(TABLE)]
    assert [planned.natural(name) for name in ("a10b", "")] == [list(natural(name)) for name in ("a10b", "")]


@pytest.mark.parametrize("odd", ["\f", "\v", "\x1c", "\x85", "\u2028", "\u2029", '"a\nb"', '"a,b"'])
def test_both_readers_of_a_table_break_it_into_the_same_rows(tmp_path: Path, odd: str) -> None:
    """The column is nobody's business: the compiler keeps it, and the job reads past it."""
    text = "note,host,leaf,pod,rack\n" + "".join(f"{odd if i == 1 else ''},n{i},l,p,r\n" for i in range(3))
    path = tmp_path / "inventory.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert list(bind.inventory(str(path))) == [host.host for host in inventory.read(text)] == ["n0", "n1", "n2"]


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


LEAVES = "host,leaf,pod,rack\n" + "".join(f"n{i},leaf{i % 2},p,r\n" for i in range(1, 7))


@pytest.mark.parametrize(
    ("nodes", "hosts", "slots", "spares"),
    [
        (4, "n1 n2 n3 n4 n5 n6", "n2 n4 n1 n3", "n5 n6"),  # two to a leaf, the third sticks out
        (5, "n1 n2 n3 n4 n5 n6", "n2 n4 n1 n3 n5", "n6"),  # and where it is needed, that of the last leaf
        (3, "n1 n2 n3 n4", "n2 n4 n1", "n3"),
        (2, "n1 n2 n3", "n1 n3", "n2"),
    ],
)
def test_spares_are_what_sticks_out_of_a_leaf(tmp_path: Path, nodes: int, hosts: str, slots: str, spares: str) -> None:
    assert run(plan(nodes, 1, hosts=LEAVES, spare_nodes=6 - nodes), tmp_path, hosts).returncode == 0
    assert lines(tmp_path, "hosts") == slots.split()
    assert sorted(lines(tmp_path, "spares")) == spares.split()


@pytest.mark.parametrize("mark", [".", "/"])
def test_switches_order_hosts_where_the_plan_has_no_table(tmp_path: Path, mark: str) -> None:
    (tmp_path / "run").mkdir()
    rows = [f"n{i} core{mark}leaf{10 - i % 2}\n" for i in range(1, 5)]
    (tmp_path / "run" / "topology").write_text("".join(rows))
    done = run(plan(4, 1), tmp_path, "n1 n2 n3 n4")
    assert "4 hosts in slots, ordered by the cluster's topology; spare: none" in done.stderr
    assert lines(tmp_path, "hosts") == ["n1", "n3", "n2", "n4"]
    done = run(plan(4, 1), tmp_path, "n1 n2 n3 n5")
    assert (done.returncode, "not in the cluster's topology, so in no known place: n5" in done.stderr) == (65, True)


def test_hosts_that_are_left_out_give_way_to_spares(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "exclude").write_text("n2 has GPUs: expected 8, found 7\nother gave no answer\n")
    done = run(plan(2, 1, spare_nodes=1), tmp_path, "n1 n2 n3")
    assert "2 hosts in slots, ordered by name; spare: none; left out: n2\n" in done.stderr
    assert lines(tmp_path, "hosts") == ["n1", "n3"]
    done = run(plan(2, 1), tmp_path, "n1 n2")
    assert done.returncode == 66
    expected = "the plan needs 2 hosts, the allocation has 2, and 1 cannot be used: n2 has GPUs: expected 8, found 7"
    assert expected in done.stderr


def test_a_pinned_slot_gets_the_nearest_spare(tmp_path: Path) -> None:
    """n2 n4 n6 are on the first leaf: slots n2 n4, then n6 and n1; spares n3 n5."""
    made = plan(4, 1, hosts=LEAVES, pin=True, spare_nodes=2)
    assert (made.world.slots.hosts, made.world.slots.spares) == (("n2", "n4", "n6", "n1"), ("n3", "n5"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "exclude").write_text("n4 gave no answer\nn1 gave no answer\n")
    done = run(made, tmp_path, "n1 n2 n3 n4 n5 n6")
    assert done.returncode == 0
    assert "slot 1: n3 in the place of n4, which gave no answer" in done.stderr
    assert lines(tmp_path, "hosts") == ["n2", "n3", "n6", "n5"]
    assert lines(tmp_path, "spares") == []


def test_a_folder_of_programs_stays_as_it_was_written(tmp_path: Path) -> None:
    assert run(plan(1, 1), tmp_path, "a").returncode == 0
    assert not (tmp_path / "runtime" / "__pycache__").exists()


class TestSpans:
    """Of four nodes, two on each leaf, groups of tp that are within a node and of dp that span all four."""

    def bound(self, folder: Path, topology: str, spans: str = "warn") -> subprocess.CompletedProcess[str]:
        (folder / "run").mkdir()
        (folder / "run" / "topology").write_text(topology)
        return run(plan(4, 2, spans=spans), folder, "n0 n1 n2 n3")

    def test_as_planned(self, tmp_path: Path) -> None:
        done = self.bound(tmp_path, "n0 core.l0\nn1 core.l0\nn2 core.l1\nn3 core.l1\n", "require")
        assert done.returncode == 0
        assert "spans of 5 kinds of groups are as planned, by the cluster's topology" in done.stderr

    @pytest.mark.parametrize(("spans", "code"), [("warn", 0), ("require", 65)])
    def test_farther_than_planned(self, tmp_path: Path, spans: str, code: int) -> None:
        done = self.bound(tmp_path, "n0 core.a.l0\nn1 core.b.l1\nn2 core.b.l2\nn3 core.a.l3\n", spans)
        assert done.returncode == code
        assert "spans: 2 of 2 dp groups span fabric or more, planned 0: such as dp/0 on n0 n3 n1 n2" in done.stderr
        assert (tmp_path / "run" / "hosts").exists() == (code == 0)

    def test_nothing_known_is_not_enough_where_spans_are_required(self, tmp_path: Path) -> None:
        done = run(plan(2, 2, spans="require"), tmp_path, "n0 n1")
        assert done.returncode == 65
        assert "launch.spans=require, and nothing is known of where n0 n1 hang" in done.stderr
        assert run(plan(2, 2), tmp_path / "warn", "n0 n1").returncode == 0


def test_slots_that_are_not_bound_are_packed_in_their_blocks(tmp_path: Path) -> None:
    """Blocks are slots 0 and 2, and 1 and 3; hosts of a leaf do not follow each other by name."""
    made = plan(4, 1)
    made = replace(made, world=replace(made.world, blocks=Blocks((0, 2, 1, 3), (2,))))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "topology").write_text("n0 s.l0\nn1 s.l1\nn2 s.l0\nn3 s.l2\nn4 s.l2\n")
    assert run(made, tmp_path, "n0 n1 n2 n3 n4").returncode == 0
    assert lines(tmp_path, "hosts") == ["n0", "n3", "n2", "n4"]
    assert lines(tmp_path, "spares") == ["n1"]
