"""A layout to its dictionary and back: what `show`, `prove` and `diff` read is the type that was written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from compiler.cluster.layout import AXES, Layout
from compiler.frameworks.lay_out import lay_out
from compiler.specs.config import Framework
from tests.worlds import world


def run_by(framework: Framework, degrees: str) -> Layout:
    """The same ranks as another program has them."""
    return lay_out(replace(world(degrees).config, framework=framework))


WORLDS: dict[str, Layout] = {
    "experts": world("ep16_tp4_pp4_dp4"),
    "virtual stages": world("ep4_tp4_pp4_dp4_vpp2"),
    "half a node": run_by(Framework(name="none", instances=3), "tp4"),
    "a framework's own groups": run_by(Framework(name="megatron"), "tp4_pp2_dp2"),
}


@pytest.mark.parametrize("name", WORLDS)
def test_what_is_written_is_what_is_read(name: str) -> None:
    before = WORLDS[name]
    written = json.loads(json.dumps(before.to_dict()))
    found = Layout.from_dict(written, before.slots)
    assert json.loads(json.dumps(found.to_dict())) == written
    assert (found.attention, found.expert, found.stages, found.kinds) == (
        before.attention,
        before.expert,
        before.stages,
        before.kinds,
    )
    assert found.slots.share == before.slots.share
    for axis in AXES:
        assert found.coordinate(axis).tolist() == before.coordinate(axis).tolist()
    for kind in before.groups:
        assert found.spans(kind).tolist() == before.spans(kind).tolist()


def test_another_stride_is_another_layout() -> None:
    before = WORLDS["experts"]
    first, *rest = before.attention.axes
    other = replace(before, attention=replace(before.attention, axes=(replace(first, stride=2), *rest)))
    assert Layout.from_dict(other.to_dict(), other.slots).attention != before.attention


def test_half_a_dictionary_is_none() -> None:
    before = WORLDS["experts"]
    written = before.to_dict()
    del written["grids"]["expert"]
    with pytest.raises(KeyError, match="expert"):
        Layout.from_dict(written, before.slots)
