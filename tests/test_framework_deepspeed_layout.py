"""DeepSpeed's groups in each of its layouts, its split of uneven layers, and a proof of them where it is missing."""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

import pytest

from compiler import compile_plan
from compiler.errors import ConfigError
from compiler.frameworks.deepspeed import layout
from compiler.frameworks.deepspeed.prove import prove
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.proof import NotInstalledError
from compiler.world import World
from tests.command import BARE
from tests.configs import changed
from tests.deepspeed_configs import SERVE, TRAIN, checks

SIXTEEN = {"parallel.pp": 1, "parallel.dp": None, "parallel.ep": 4}


def small(name: str, tp: int, **more: Any) -> World:
    """16 ranks of one stage, ep4."""
    split = layout.LAYOUTS[name].split
    changes = {"parallel.tp": tp, "parallel.adp": 16 // tp, "parallel.etp": tp if split else 1}
    return lay_out(changed(TRAIN, {**SIXTEEN, **changes, "framework.expert_layout": name, **more}))


@pytest.mark.parametrize(
    ("name", "tp", "ep", "edp"),
    [
        ("tensor", 2, [[0, 2, 4, 6], [8, 10, 12, 14], [1, 3, 5, 7], [9, 11, 13, 15]], [[0, 8], [2, 10]]),
        ("tensor_data_first", 2, [[0, 4, 8, 12], [2, 6, 10, 14], [1, 5, 9, 13], [3, 7, 11, 15]], [[0, 2], [4, 6]]),
        (
            "contiguous",
            1,
            [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]],
            [[0, 4, 8, 12], [1, 5, 9, 13]],
        ),
        ("data_first", 1, [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]], [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (
            "tp_strided",
            2,
            [[0, 2, 4, 6], [8, 10, 12, 14], [1, 3, 5, 7], [9, 11, 13, 15]],
            [[0, 8, 1, 9], [2, 10, 3, 11]],
        ),
        (
            "tp_strided",
            8,
            [[0, 8, 1, 9], [2, 10, 3, 11], [4, 12, 5, 13], [6, 14, 7, 15]],
            [[0, 2, 4, 6], [8, 10, 12, 14]],
        ),
        ("autoep", 2, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]], [[0, 4, 8, 12], [1, 5, 9, 13]]),
    ],
)
def test_expert_groups_of_sixteen_ranks(name: str, tp: int, ep: list[list[int]], edp: list[list[int]]) -> None:
    world = small(name, tp)
    assert world.groups["ep"].tolist() == ep
    assert world.groups["edp"][:2].tolist() == edp


def test_the_strategy_is_megatrons_groups_in_the_default_layout() -> None:
    ours, plain = lay_out(TRAIN), lay_out(changed(TRAIN, {"framework.name": "none"}))
    for kind, table in plain.groups.items():
        assert sorted(ours.groups[kind].tolist()) == sorted(table.tolist())
    assert ours.groups["edp"][0].tolist() == [0, 64, 128, 192]
    assert ours.groups["deepspeed.ds_model"][0].tolist() == [s * 256 + tp for s in range(4) for tp in range(4)]
    assert ours.groups["deepspeed.world"].shape == (1, 1024)


def test_zero_plus_groups() -> None:
    args = [
        "--json.zero_optimization.zero_hpz_partition_size=4",
        "--json.zero_optimization.zero_quantized_gradients=true",
    ]
    world = small("contiguous", 1, **{"framework.args": args})
    assert world.groups["deepspeed.zero_param"][1].tolist() == [4, 5, 6, 7]
    assert world.groups["deepspeed.all_to_all_local"][1].tolist() == list(range(8, 16))
    assert world.groups["deepspeed.all_to_all_global"][1].tolist() == [1, 9]


def test_uneven_layers_follow_partition_uniform() -> None:
    stages = lay_out(changed(TRAIN, {"model.num_hidden_layers": 18})).stages
    assert stages.labels == ("0-4", "5-9", "10-13", "14-17")
    assert lay_out(TRAIN).stages.labels == ("0-3", "4-7", "8-11", "12-15")


def test_an_order_that_says_the_same_is_no_mistake() -> None:
    data_first = changed(TRAIN, {"framework.expert_layout": "tensor_data_first", "parallel.order": "tp-cp-dp-ep-pp"})
    assert checks(data_first)["deepspeed-order"].status == "pass"


def test_an_unknown_layout_is_a_bad_value() -> None:
    with pytest.raises(
        ConfigError, match=r"expert_layout=linear is not known to deepspeed ; write framework.expert_layout=tensor or"
    ):
        compile_plan([BARE, "framework=deepspeed", "framework.expert_layout=linear"])


def test_a_proof_without_deepspeed_says_what_to_install() -> None:
    with (
        mock.patch.dict(sys.modules, {"deepspeed": None}),
        pytest.raises(NotInstalledError, match=r"cannot be imported: .+ ; pip install deepspeed==0\.19\.8 and torch"),
    ):
        list(prove(lay_out(SERVE), None))
