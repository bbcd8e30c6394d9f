"""Layers to stages, experts to ranks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.layout.experts import contiguous
from compiler.layout.stages import split


def test_even_stages() -> None:
    stages = split([4] * 4, 4)
    assert stages.labels == ("0-3", "4-7", "8-11", "12-15")


def test_virtual_chunks_interleave_as_megatrons() -> None:
    stages = split([2] * 8, 4)
    assert stages.labels == ("0-1;8-9", "2-3;10-11", "4-5;12-13", "6-7;14-15")
    assert stages.to_list()[1] == {"pp": 1, "chunks": [[2, 3], [10, 11]]}


def test_a_range_of_one_is_one_number() -> None:
    assert split([1, 2], 2).labels == ("0", "1-2")


@given(st.integers(1, 6), st.integers(1, 3), st.data())
def test_every_layer_is_on_one_stage(pp: int, vpp: int, data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 9), min_size=pp * vpp, max_size=pp * vpp))
    stages = split(counts, pp)
    layers = sorted(i for stage in stages.layers for i in stage)
    assert layers == list(range(sum(counts)))


@given(st.integers(1, 300), st.integers(1, 64))
def test_every_expert_is_in_one_block(experts: int, ep: int) -> None:
    found = contiguous(experts, ep, (True,), split([1], 1))
    ids = [i for block in found.blocks for first, last in block for i in range(first, last + 1)]
    assert ids == list(range(experts))
    assert len(found.blocks) == ep


@pytest.mark.parametrize(("pp", "ep", "label"), [(0, 0, ""), (1, 0, "0-3"), (1, 3, "12-15")])
def test_a_stage_without_moe_layers_holds_no_experts(pp: int, ep: int, label: str) -> None:
    assert contiguous(16, 4, (False, True), split([1, 1], 2)).label(pp, ep) == label


def test_a_stage_without_layers_has_no_label_and_an_empty_range() -> None:
    stages = split([0, 2, 1, 0], 2)
    assert stages.labels == ("2", "0-1")
    assert stages.to_list() == [{"pp": 0, "chunks": [[0, -1], [2, 2]]}, {"pp": 1, "chunks": [[0, 1], [3, 2]]}]
    assert stages.counts == ((0, 1), (2, 0))
