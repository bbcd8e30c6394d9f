"""Degrees: spelling, resolution and the canonical name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.errors import ConfigError
from compiler.specs.degrees import Degrees, Parallel, looks_like_degrees, parse, resolve

size = st.integers(1, 64)


def degrees(name: str, moe: bool = True) -> Degrees:
    return resolve(Parallel(**parse(name)), moe)  # type: ignore[arg-type]


def test_both_spellings_of_the_strategy_are_one_plan() -> None:
    one, other = degrees("ep16_tp4_pp4_dp4"), degrees("tp4_pp4_adp64_ep16")
    assert one == other
    assert one.name == other.name == "ep16_tp4_pp4_dp4"
    assert (one.world_size, one.adp, one.etp, one.edp, one.dp) == (1024, 64, 4, 4, 4)


@pytest.mark.parametrize(
    ("written", "moe", "name"),
    [
        ("tp1", True, "dp1"),
        ("dp1", False, "dp1"),
        ("dp4_ep2", True, "ep2_dp4"),
        ("tp8_etp1_ep4", True, "ep4_etp1_tp8"),
        ("tp8_etp1", True, "etp1_tp8"),
        ("tp8_pp2", False, "tp8_pp2"),
        ("tp2_etp2", True, "tp2"),
        ("adp6_ep4_tp2", True, "ep4_tp2_adp6"),
        ("vpp2_cp2_pp4", True, "cp2_pp4_vpp2"),
        ("adp8", True, "dp8"),
    ],
)
def test_canonical_name(written: str, moe: bool, name: str) -> None:
    assert degrees(written, moe).name == name


@given(tp=size, cp=size, pp=size, vpp=size, ep=size, etp=size, adp=size)
def test_a_name_reads_back_as_the_degrees_it_was_made_from(
    tp: int, cp: int, pp: int, vpp: int, ep: int, etp: int, adp: int
) -> None:
    made = Degrees(tp, cp, pp, vpp, ep, etp, adp)
    assert degrees(made.name) == made


@given(tp=size, cp=size, pp=size, adp=size)
def test_a_dense_name_reads_back(tp: int, cp: int, pp: int, adp: int) -> None:
    made = Degrees(tp, cp, pp, 1, 1, 1, adp, moe=False)
    assert degrees(made.name, moe=False) == made


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ep8_tq8", "'tq8' is not a degree ; write one of ep, etp, tp"),
        ("tp0", "tp=0 is below 1"),
        ("tp-4", "'tp-4' is not a degree"),
        ("tp4_tp8", "tp is written twice, 4 and 8"),
        ("dp2_adp4", "dp=2 and adp=4 exclude each other"),
        ("tp", "'tp' is not a degree"),
    ],
)
def test_a_bad_spelling_is_named(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match="parallel=") as caught:
        parse(name)
    assert message in str(caught.value)


def test_every_bad_part_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("xx3_tp0_yy")
    assert len(caught.value.problems) == 3


def test_dp_and_adp_exclude_each_other_as_overrides_too() -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        resolve(Parallel(dp=2, adp=4), moe=True)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("tp8_pp4", True),
        ("ep8_tq8", True),
        ("tp-4", True),
        ("deepseek_v3_2048", False),
        ("dp_paper", False),
        ("EP8", False),
    ],
)
def test_a_list_of_degrees_is_told_from_a_file_name(name: str, meant: bool) -> None:
    assert looks_like_degrees(name) is meant
