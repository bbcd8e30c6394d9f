"""Parameters: published totals, the declared classes of the strategy, and the placement of derived ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compiler.costs.case import case
from compiler.costs.work.params import counts, totals
from compiler.specs.model import Declared, Model
from tests.costed import cost, norms
from tests.worlds import (
    DEEPSEEK_V3,
    GPT3,
    GPT_OSS,
    LLAMA_8B,
    LLAMA_70B,
    MIXTRAL,
    MOE_30B,
    QWEN_30B,
    SERVE,
    TRAIN,
    world,
)


@pytest.mark.parametrize(
    ("model", "published", "active"),
    [
        (LLAMA_8B, 8.03e9, 8.03e9),
        (LLAMA_70B, 70.55e9, 70.55e9),
        (QWEN_30B, 30.5e9, 3.3e9),
        (DEEPSEEK_V3, 671e9, 37e9),
        (MIXTRAL, 46.7e9, 12.9e9),
        (GPT_OSS, 116.8e9, 5.13e9 + 0.58e9),  # published without the embedding
        (GPT3, 174.6e9, 174.6e9),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_derived_totals_are_the_published_ones(model: Model, published: float, active: float) -> None:
    found = totals(model)
    assert found.dense + found.moe == pytest.approx(published, rel=2e-3)
    assert found.active == pytest.approx(active, rel=2e-2)


def test_mtp_layers_are_counted_beside_the_total() -> None:
    assert totals(DEEPSEEK_V3).mtp == pytest.approx(11.6e9, rel=0.01)  # 14B with its copies of embedding and head
    assert totals(replace(DEEPSEEK_V3, num_nextn_predict_layers=0)) == replace(totals(DEEPSEEK_V3), mtp=0.0)


def test_strategy_spreads_the_declared_classes() -> None:
    params = cost(world()).to_dict()["params"]
    assert params["per_rank_max"] == 4e9 / 16 + 26e9 / 256 == 351_562_500
    assert (params["total"], params["dense"], params["moe"]) == (30_000_000_000, 4_000_000_000, 26_000_000_000)
    assert params["derived_moe"] == 16 * 64 * 2 * 1024 * 2048
    assert params["per_expert"] == 25_390_625
    assert params["per_expert_all_layers"] == 406_250_000
    assert params["active"] == 4e9 + 26e9 * 2 / 64


@pytest.mark.parametrize("pp", [1, 2, 4])
def test_declared_class_is_the_same_on_every_stage(pp: int) -> None:
    found = world("ep16_tp4_dp4", pp=pp)
    held = counts(case(found), totals(MOE_30B))
    assert np.array_equal(held.dense, np.full(pp, 4e9 / (4 * pp)))
    assert np.array_equal(held.moe, np.full(pp, 26e9 / (64 * pp)))


def test_smaller_declared_class_gives_way() -> None:
    model = replace(MOE_30B, declared=Declared(params=30e9, dense_params=1.0, moe_params=26e9))
    found = totals(model)
    assert found.dense == found.derived_dense
    assert found.moe == 26e9
    assert totals(replace(MOE_30B, declared=Declared(params=30e9))).moe == found.derived_moe


@pytest.mark.parametrize("degrees", ["tp1_pp1", "ep4_tp2_pp4", "ep8_etp1_tp4_pp2_cp2", "ep2_tp4_pp3_vpp2_dp2"])
def test_shards_without_copies_add_up_to_the_model(degrees: str) -> None:
    """Norms and router are copied over tp; everything else is cut."""
    model = QWEN_30B
    plan = case(world(degrees, model, SERVE))
    held = counts(plan, totals(model))
    copied = 48 * (norms(model) + model.hidden_size * model.num_experts) + model.hidden_size
    dense = held.dense.sum() * plan.tp - (plan.tp - 1) * copied
    assert dense == totals(model).derived_dense
    assert held.moe.sum() * plan.etp * plan.ep == totals(model).derived_moe


def test_mla_replicates_its_down_projections() -> None:
    model = replace(DEEPSEEK_V3, num_nextn_predict_layers=0)
    plan = case(world("ep8_tp8", model))
    held = counts(plan, totals(model))
    per_layer = norms(model) + 7168 * 1536 + 7168 * (512 + 64)
    copied = 61 * per_layer + 58 * 7168 * 256 + 7168
    assert held.dense.sum() * 8 - 7 * copied == totals(model).derived_dense


def test_kv_heads_are_replicated_where_tp_exceeds_them() -> None:
    held = [counts(case(world(f"tp{tp}", QWEN_30B, etp=1)), totals(QWEN_30B)).dense[0] for tp in (4, 8)]
    kv = 48 * 2 * 2048 * 128  # one head's keys and values in all layers
    copied = 48 * (2 * 2048 + 2048 * 128) + 2048
    assert held[0] - copied - kv == 2 * (held[1] - copied - kv)


@pytest.mark.parametrize(("tied", "pp", "tables"), [(True, 1, 1), (True, 4, 2), (False, 1, 2), (False, 4, 2)])
def test_tied_embedding_is_held_once_or_at_both_ends(tied: bool, pp: int, tables: int) -> None:
    model = replace(LLAMA_8B, tie_word_embeddings=tied)
    held = counts(case(world(f"pp{pp}", model)), totals(model)).dense
    table = 128_256 * 4096
    inside = totals(replace(model, tie_word_embeddings=True)).dense - table
    assert held.sum() == inside + tables * table


def test_mtp_sits_on_the_last_stage_with_a_copy_of_the_embedding() -> None:
    plain = replace(DEEPSEEK_V3, num_nextn_predict_layers=0)
    drafts, idle = replace(SERVE, draft_tokens=1), counts(case(world("ep8_pp4", DEEPSEEK_V3)), totals(DEEPSEEK_V3))
    with_mtp, without = (counts(case(world("ep8_pp4", m, drafts)), totals(m)) for m in (DEEPSEEK_V3, plain))
    assert np.array_equal(idle.total, without.total)  # a server that drafts nothing loads no MTP layer
    assert np.array_equal(with_mtp.total[:-1], without.total[:-1])
    added = with_mtp.dense[-1] - without.dense[-1] + 8 * (with_mtp.moe[-1] - without.moe[-1])
    assert added == totals(DEEPSEEK_V3).mtp + 129_280 * 7168
    assert np.array_equal(with_mtp.dense_gemm, without.dense_gemm)  # serving runs no MTP layer


def test_dualpipe_holds_two_stages() -> None:
    once, twice = (
        counts(case(world("ep8_pp4", QWEN_30B, replace(TRAIN, schedule=name))), totals(QWEN_30B))
        for name in ("1f1b", "dualpipe")
    )
    assert np.array_equal(twice.total, once.total + once.total[::-1])


def test_padded_vocabulary_is_placed_and_not_counted() -> None:
    model = replace(LLAMA_8B, vocab_size=128_255)
    held = counts(case(world("tp8", model)), totals(model)).dense[0]
    assert held == counts(case(world("tp8", LLAMA_8B)), totals(LLAMA_8B)).dense[0]
    assert totals(model).dense == totals(LLAMA_8B).dense - 2 * 4096
