"""Grids: closed forms against plain loops, and the strategy's groups against Megatron's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.frameworks.adapter import adapter
from compiler.layout.grid import Axis, Grid, row_major
from compiler.layout.groups import Groups, standard
from compiler.specs.config import Config
from compiler.specs.degrees import DEFAULT_ORDER, Degrees, Parallel, parse, resolve
from compiler.specs.model import Model

small = st.integers(1, 4)
orders = st.permutations(["tp", "cp", "ep", "dp", "pp"]).map("-".join)


def grids(degrees: Degrees, order: str = DEFAULT_ORDER) -> tuple[Grid, Grid]:
    parallel = Parallel(degrees.tp, degrees.cp, degrees.pp, 1, degrees.ep, degrees.etp, adp=degrees.adp, order=order)
    return adapter("none").grids(Config(model=Model(num_experts=64), parallel=parallel))


def groups(name: str, order: str = DEFAULT_ORDER) -> Groups:
    degrees = resolve(Parallel(**parse(name)), moe=True)  # type: ignore[arg-type]
    return Groups(standard(*grids(degrees, order)))


STRATEGY = groups("ep16_tp4_pp4_dp4")


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("tp", (256, 4)),
        ("pp", (256, 4)),
        ("ep", (64, 16)),
        ("edp", (256, 4)),
        ("dp", (16, 64)),
        ("cp", (1024, 1)),
        ("etp_ep", (16, 64)),
    ],
)
def test_group_counts_of_the_strategy(kind: str, shape: tuple[int, int]) -> None:
    assert STRATEGY[kind].shape == shape


@pytest.mark.parametrize(
    ("kind", "index", "ranks"),
    [
        ("tp", 1, [4, 5, 6, 7]),
        ("ep", 0, list(range(0, 64, 4))),
        ("ep", 5, list(range(65, 128, 4))),
        ("edp", 0, [0, 64, 128, 192]),
        ("edp", 64, [256, 320, 384, 448]),
        ("pp", 0, [0, 256, 512, 768]),
        ("dp", 0, list(range(0, 256, 4))),
        ("tp_pp", 0, [0, 1, 2, 3, 256, 257, 258, 259, 512, 513, 514, 515, 768, 769, 770, 771]),
    ],
)
def test_groups_of_the_strategy_are_megatrons(kind: str, index: int, ranks: list[int]) -> None:
    assert STRATEGY[kind][index].tolist() == ranks


def test_a_small_world_with_context_and_folded_experts() -> None:
    """W16 TP2 CP2 PP2 EP4 ETP1, as Megatron-Core 0.19.2 builds it."""
    found = groups("tp2_cp2_pp2_adp2_ep4_etp1")
    assert found["cp"][:3].tolist() == [[0, 2], [1, 3], [4, 6]]
    assert found["dp_cp"][:2].tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert found["ep"][:2].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert found["edp"][:2].tolist() == [[0, 4], [1, 5]]
    assert found["etp_ep_pp"][0].tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


@given(st.lists(st.tuples(st.sampled_from("abcde"), small), unique_by=lambda item: item[0], min_size=1), st.data())
def test_groups_are_the_ranks_that_share_the_other_coordinates(
    sizes: list[tuple[str, int]], data: st.DataObject
) -> None:
    grid = row_major(sizes)
    names = data.draw(st.sets(st.sampled_from([name for name, _ in sizes])))
    expected: dict[tuple[int, ...], list[int]] = {}
    for rank in range(grid.world_size):
        rest = tuple(
            int(grid.coordinate(name, np.array([rank]))[0]) for name, _ in reversed(sizes) if name not in names
        )
        expected.setdefault(rest, []).append(rank)
    assert grid.kind(names).table().tolist() == [expected[key] for key in sorted(expected)]


@given(small, small, small, small, small, small, orders)
def test_every_kind_is_a_partition_and_both_grids_cover_the_world(
    tp: int, cp: int, pp: int, ep: int, etp: int, more: int, order: str
) -> None:
    adp = math.lcm(tp * cp, etp * ep) // (tp * cp) * more
    degrees = Degrees(tp, cp, pp, 1, ep, etp, adp)
    attention, expert = grids(degrees, order)
    assert attention.world_size == expert.world_size == degrees.world_size
    found = Groups(standard(attention, expert))
    for kind in found:
        assert np.array_equal(np.sort(found[kind].ravel()), np.arange(degrees.world_size))
        assert found[kind].shape[1] == found.size(kind)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_coordinates_read_back_the_rank(a: int, b: int, c: int) -> None:
    grid = row_major([("a", a), ("b", b), ("c", c)])
    ranks = sum(grid.coordinate(axis.axis) * axis.stride for axis in grid.axes)
    assert np.array_equal(ranks, np.arange(grid.world_size))


def test_a_compound_axis_has_several_strides() -> None:
    """ep over tp and dp with pp between them: W16 tp2 pp2 dp4, as vLLM lays it out."""
    grid = Grid((Axis("ep", 2, 1), Axis("pp", 2, 2), Axis("ep", 4, 4)))
    assert grid.kind(["ep"]).table().tolist() == [[0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]]
    assert grid.coordinate("ep", np.array([0, 1, 4, 13])).tolist() == [0, 1, 2, 7]
    assert grid.size("ep") == 8
    assert grid.strides("ep") == ((2, 1), (4, 4))


def test_a_dense_model_has_no_groups_on_the_expert_grid() -> None:
    found = Groups(standard(row_major([("tp", 2), ("cp", 1), ("dp", 2), ("pp", 2)]), None))
    assert list(found) == ["tp", "cp", "dp", "dp_cp", "pp", "tp_pp", "tp_cp"]
    with pytest.raises(KeyError):
        found["ep"]


@pytest.mark.parametrize("kind", ["nope", "etp_pp"])
def test_an_unknown_kind_is_a_key_error(kind: str) -> None:
    with pytest.raises(KeyError):
        STRATEGY[kind]


def test_the_group_of_a_rank() -> None:
    index, ranks = STRATEGY.of_rank("ep", 9)
    assert index == 1
    assert ranks.tolist() == list(range(1, 64, 4))


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        STRATEGY["tp"][0, 0] = 7
