"""The work of a training step, and what a framework makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.rows.hardware import nominal
from compiler.blocks.stack import stack
from compiler.costs.arrays import exceeding
from compiler.costs.constants import SOFT_EDGE
from compiler.costs.shape import shape
from compiler.costs.software import Software
from compiler.costs.step import Work, stages, step, work
from compiler.specs.model import Model
from compiler.speed import calibrated
from tests.worlds import DEEPSEEK_V3, GPT3, GPT_OSS, LLAMA_8B, TRAIN, world

H100 = nominal("h100_80gb")


def done(degrees: str, model: Model = LLAMA_8B, **changes: Any) -> Work:
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    return work(shape(world(degrees, model, replace(TRAIN, **changes), H100)), gpu)[0]


def test_unfused_attention_passes_over_all_scores() -> None:
    """4 passes without dropout and 6.5 with it over heads x tokens x length half-precision scores, and plain products."""
    for model, passes in ((LLAMA_8B, 4.0), (GPT3, 6.5)):
        fused, plain = (done("tp4", model, fused_attention=x) for x in (True, False))
        assert (fused.scores == 0).all()
        assert (plain.core < fused.core).all()
        moved = passes * 2 * model.num_attention_heads / 4 * 4096 * 4096 * model.num_hidden_layers
        assert plain.scores[0] > moved / 3.35e12
        assert plain.scores[0] < 2 * moved / 3.35e12


def test_narrow_heads_take_longer_for_the_same_work() -> None:
    """Twice the heads of half the width: equal products and scores' work, at 0.71 of the speed."""
    wide = done("tp4")
    heads = 2 * LLAMA_8B.num_attention_heads
    half = replace(LLAMA_8B, num_attention_heads=heads, num_key_value_heads=2 * LLAMA_8B.kv_heads, head_dim=64)
    narrow = done("tp4", half)
    assert narrow.core == pytest.approx(2**0.5 * wide.core)
    assert narrow.products == pytest.approx(wide.products)


def test_unfused_attention_gains_nothing_from_windows() -> None:
    windows, none = (
        done("tp1", model, fused_attention=False) for model in (GPT_OSS, replace(GPT_OSS, layer_types=None))
    )
    assert windows.scores[0] == none.scores[0]
    assert done("tp1", GPT_OSS).core[0] < done("tp1", replace(GPT_OSS, layer_types=None, sliding_window=None)).core[0]


def test_collectives_of_a_step_hide_behind_its_last_micro_batch() -> None:
    """A tenth of the window shows a small part, ten windows all but about one."""
    assert exceeding(np.array(0.1), np.array(1.0), SOFT_EDGE) < 0.25 * 0.1
    assert exceeding(np.array(10.0), np.array(1.0), SOFT_EDGE) == pytest.approx(9.2, rel=0.02)
    assert exceeding(np.array(1.0), np.array(0.0), SOFT_EDGE) == 1.0


def test_pieces_that_are_rebuilt_cost_time() -> None:
    """MLA's up-projections 1536 x 128 x 192 and 512 x 128 x 256 weights of a layer; activations a third of their traffic."""
    plan = shape(world("ep8_adp8", DEEPSEEK_V3, TRAIN, H100))
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    plain, again = (
        work(replace(plan, case=replace(plan.case, rebuilt=x)), gpu)[0] for x in ((), ("mla_up_proj", "moe_act"))
    )
    assert (plain.rebuilt == 0).all()
    weights = 62 * 128 * (1536 * 192 + 512 * 256)
    assert again.rebuilt[0] / again.products[0] == pytest.approx(weights / plan.held.dense_gemm[0])
    copies = 59 * 2 * 4096 * 8 * (7168 + 3 * 2048)
    assert again.elementwise[0] - plain.elementwise[0] == pytest.approx(copies / 3 / 3.35e12, rel=1e-3)
    assert np.max(step(again, Software()).total) > np.max(step(plain, Software()).total)


def test_a_loss_that_is_not_fused_passes_over_logits_more_often() -> None:
    """10 bytes of a logit or 36, a third of them counted as forward."""
    plan = shape(world("tp1", LLAMA_8B, TRAIN, H100))
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    fused, plain = (
        work(replace(plan, case=replace(plan.case, fused_loss=x)), gpu)[0].elementwise[0] for x in (True, False)
    )
    assert plain - fused == pytest.approx((36 - 10) * 4096 * 128256 / 3 / 3.35e12, rel=1e-3)


def test_copies_of_tokens_are_moved_by_rows_and_bytes() -> None:
    small, large = (done("ep8_adp8", replace(DEEPSEEK_V3, hidden_size=x)).permuted[0] for x in (2048, 6144))
    assert large / small == pytest.approx(2)
    assert done("tp1").permuted[0] == 0


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({"dispatch": "alltoall"}, 59),
        ({"dispatch": "capacity"}, 0),
        ({"dispatch": "deduplicated"}, 0),
        ({"dispatch": "deduplicated", "overlapped_dispatch": True}, 59),
    ],
)
def test_the_host_waits_for_counts_of_tokens(changes: dict[str, Any], layers: int) -> None:
    found = done("ep8_adp8", DEEPSEEK_V3, **changes)
    assert found.waits[0] == layers
    slow, fast = (float(np.max(step(found, Software(wait_s=x)).total)) for x in (1.0, 0.0))
    assert (slow > 2 * fast) == (layers > 0)


def test_an_overlapped_dispatch_shows_less() -> None:
    alone, beside = (done("ep8_adp8", DEEPSEEK_V3, overlapped_dispatch=x) for x in (False, True))
    assert beside.ahead["beside"][0] == alone.ahead["ep"][0] > 0
    by = Software(ep=1.0, beside=0.25)
    assert stages(beside, by).exposed[0] == pytest.approx(stages(alone, by).exposed[0] / 4)


@pytest.mark.parametrize(
    ("degrees", "changes", "kind"),
    [
        ("ep8_adp8", {"dispatch": "alltoall"}, "ep"),
        ("ep8_adp8", {"dispatch": "capacity"}, "ep"),
        ("ep16_adp16", {"dispatch": "alltoall"}, "ep_far"),
        ("ep8_adp8", {"dispatch": "deduplicated"}, "ep_once"),
        ("ep16_adp16", {"dispatch": "deduplicated"}, "ep_once"),
        ("ep16_adp16", {"dispatch": "deduplicated", "overlapped_dispatch": True}, "beside"),
    ],
)
def test_each_way_of_dispatch_has_its_own_share(degrees: str, changes: dict[str, Any], kind: str) -> None:
    found = done(degrees, DEEPSEEK_V3, **changes)
    kinds = ("ep", "ep_far", "ep_once", "beside")
    assert [name for name in kinds if np.max(found.ahead[name]) > 0] == [kind]
    shown, hidden = (stages(found, Software(**{**dict.fromkeys(kinds, 0.0), kind: x})).exposed[0] for x in (1.0, 0.0))
    assert shown - hidden == pytest.approx(found.ahead[kind][0] + found.back[kind][0])


def test_shared_experts_hide_a_dispatch_as_long_as_they_compute() -> None:
    alone, beside = (done("ep8_adp8", DEEPSEEK_V3, overlapped_shared_experts=x) for x in (False, True))
    hidden = stages(alone, Software()).exposed[0] - stages(beside, Software()).exposed[0]
    assert alone.shared[0] == 0 < hidden < 3 * beside.shared[0]
    free = Software(ep=1e-6)  # a dispatch that takes no time hides nothing
    assert stages(alone, free).exposed[0] == pytest.approx(stages(beside, free).exposed[0], abs=1e-6)


def test_delayed_gradients_of_weights_hide_what_shows_of_an_overlapped_dispatch() -> None:
    usual, delayed = (
        done("ep8_adp8", DEEPSEEK_V3, overlapped_dispatch=True, delayed_weight_gradients=x) for x in (False, True)
    )
    shown, left = (stages(item, Software(beside=1.0)).exposed[0] for item in (usual, delayed))
    assert 0.5 < left / shown < 1, "only backward has them"


def test_a_dispatch_beside_another_micro_batch_makes_its_copies_there() -> None:
    """Kernels that permute as they send (HybridEP, DeepEP); NCCL's all_to_all leaves it to kernels of their own."""
    alone, beside, nccl = (
        done("ep8_adp8", DEEPSEEK_V3, overlapped_dispatch=overlapped, dispatch=how)
        for overlapped, how in ((False, "deduplicated"), (True, "deduplicated"), (True, "alltoall"))
    )
    assert (beside.permuted == 0).all()
    assert beside.ahead["beside"] == pytest.approx(alone.ahead["ep_once"] + alone.permuted)
    assert (nccl.permuted > 0).all()


def test_experts_with_biases_move_what_they_put_out_again() -> None:
    """64 bytes of an element, forward and backward, beside six copies of 2,880 and 2,048 elements."""
    plain, biased = (done("ep8_adp8", replace(GPT_OSS, mlp_bias=bias)) for bias in (False, True))
    assert biased.permuted == pytest.approx(plain.permuted * (1 + 64 / 3 * 2880 / (6 * 2 * (2880 + 2048))))


def test_scans_move_what_their_blocks_keep() -> None:
    """Four times beside products, whatever the layer is: 8 bytes of each element that is kept, of 4,096 tokens."""
    scan = {"kind": "mamba2", "heads": 64, "head_dim": 64, "groups": 8, "state_dim": 128}
    scanned = replace(LLAMA_8B, layer_types=["mamba"] * 32, blocks={"mamba": scan})
    width = stack(scanned).layers[0][0].kept
    found = done("tp1", scanned).elementwise - done("tp1").elementwise
    assert found == pytest.approx(32 * 8 * 4096 * sum(part.pieces * part.width for part in width) / 3.35e12)
