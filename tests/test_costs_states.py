"""What training keeps of weights, in whatever precision, and what an FP8 layer keeps of what it read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.costs.case import Case, case
from compiler.costs.work import states
from compiler.costs.work.activations import stored_each
from compiler.costs.work.memory import memory
from compiler.costs.work.params import totals
from compiler.costs.work.traffic import synchronising
from compiler.specs.states import States
from tests.costed import held
from tests.worlds import DEEPSEEK_V3, LLAMA_8B, TRAIN, world

ALONE = replace(TRAIN, global_batch_size=1, distributed_optimizer=False)


def plan(**changes: Any) -> tuple[Case, Any]:
    kept = {key: value for key, value in changes.items() if key in States.__dataclass_fields__}
    others = {key: value for key, value in changes.items() if key not in kept}
    found = world("tp1", LLAMA_8B, replace(ALONE, states=States(**kept), **others))
    return case(found), memory(case(found), held(found))


@pytest.mark.parametrize(
    ("changes", "gradients", "optimizer"),
    [
        ({}, 4, 12),
        ({"gradients": "bf16"}, 2, 12),
        ({"exp_avg": "bf16", "exp_avg_sq": "bf16"}, 4, 8),
        ({"exp_avg": "fp8", "exp_avg_sq": "fp16", "masters": "fp16"}, 4, 5),
        ({"precision": "fp32"}, 4, 8),
        ({"optimizer": "sgd"}, 4, 8),
    ],
)
def test_bytes_of_a_weight_beside_it(changes: dict[str, Any], gradients: int, optimizer: int) -> None:
    count = totals(LLAMA_8B).dense
    _, found = plan(**changes)
    assert found.gradients_bytes == pytest.approx(gradients * count)
    assert found.optimizer_bytes == pytest.approx(optimizer * count)


def test_muon_leaves_embedding_and_head_to_adam() -> None:
    (_, sgd), (_, muon) = plan(optimizer="sgd"), plan(optimizer="muon")
    tables = 2 * LLAMA_8B.vocab_size * LLAMA_8B.hidden_size
    assert muon.optimizer_bytes - sgd.optimizer_bytes == pytest.approx(4 * tables)


def test_matrices_kept_wide_and_multiplied_in_fp8_have_a_narrow_copy() -> None:
    _, wide = plan(precision="bf16")
    _, found = plan(precision="fp8")
    _, told = plan(weights="fp8", precision="fp8")
    tables = 2 * LLAMA_8B.vocab_size * LLAMA_8B.hidden_size
    assert found.weights_bytes - wide.weights_bytes == pytest.approx(wide.weights_bytes / 2 - tables)
    assert told.weights_bytes < wide.weights_bytes


def test_weights_in_fp8_are_all_but_embedding_head_and_norms() -> None:
    tables = 2 * 128_256 * 4096
    norms = 65 * 4096
    _, found = plan(weights="fp8", precision="fp8")
    matrices = totals(LLAMA_8B).dense - tables - norms
    assert found.weights_bytes == pytest.approx(matrices + 2 * (tables + norms))


def test_an_update_moves_what_is_kept() -> None:
    """Norm 4, clip 8, Adam reads 16 and writes 14 where all is FP32 (counted by hand, passes as in SimuMax)."""
    assert states.updated(plan()[0]) == 42
    assert states.accumulated(plan()[0]) == 8
    assert states.updated(plan(gradients="bf16", exp_avg="bf16", exp_avg_sq="bf16")[0]) == 42 - 8 - 8


def test_narrow_gradients_and_weights_are_sent_narrow() -> None:
    found = world("adp8", LLAMA_8B, replace(TRAIN, precision="fp8", states=States(weights="fp8", gradients="bf16")))
    this, share = case(found), held(found)
    sent = {flow.role: float(flow.payload[0]) for flow in synchronising(this, share)}
    assert sent["gradients"] == pytest.approx(2 * share.total[0])
    assert sent["parameters"] == pytest.approx(share.dense_bytes[0])


PER_TOKEN = {
    # inputs of both norms; outputs of both; queries, keys, values; output twice; gate and up; what down reads
    "fp8": 2 * 2 * 4096 + 2 * 4096 + 2 * (4096 + 2048) + 3 * 4096 + 2 * 2 * 14_336 + 14_336,
    "bf16": 2 * 2 * 4096 + 2 * 2 * 4096 + 2 * (4096 + 2048) + 2 * 4096 + 3 * 2 * 14_336,
}


@pytest.mark.parametrize("precision", sorted(PER_TOKEN))
def test_an_fp8_layer_keeps_what_it_read_in_a_byte(precision: str) -> None:
    this, _ = plan(precision=precision, recompute="selective")
    assert stored_each(this)[0] == pytest.approx(32 * 4096 * PER_TOKEN[precision])


def test_frameworks_that_quantise_again_keep_it_wide() -> None:
    this, _ = plan(precision="fp8", recompute="selective")
    assert stored_each(replace(this, narrow_inputs=False))[0] == pytest.approx(32 * 4096 * PER_TOKEN["bf16"])


def test_layers_that_compute_wide_keep_it_wide() -> None:
    model = replace(DEEPSEEK_V3, num_nextn_predict_layers=0)
    fp8 = replace(TRAIN, precision="fp8", global_batch_size=1)
    kept = {
        name: stored_each(case(world("tp1", model, replace(fp8, wide_layers=edges))))[0]
        for name, edges in (("none", []), ("some", [1, 2]), ("all", [61, 0]))
    }
    bf16 = stored_each(case(world("tp1", model, replace(fp8, precision="bf16"))))[0]
    assert kept["all"] == pytest.approx(bf16)
    assert kept["some"] == pytest.approx(kept["none"] + 3 / 61 * (bf16 - kept["none"]))
    assert np.all(kept["none"] < bf16)
