"""Blocks of every kind: known answers, what tensor parallelism leaves of them, and every mistake in how they are written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler import ConfigError, compile_plan
from compiler.blocks import kinds
from compiler.blocks.block import local, whole
from compiler.blocks.stack import stack
from compiler.costs.case import case
from compiler.costs.work.memory import kv_cache, towers
from compiler.costs.work.params import totals
from compiler.specs.model import Model
from compiler.speed.calibrated import unmeasured
from tests.configs import composed
from tests.worlds import SERVE, world

SIZES: dict[str, Any] = {"num_hidden_layers": 4, "hidden_size": 512, "num_attention_heads": 8, "vocab_size": 1000}
PLAIN = Model(name="plain", num_key_value_heads=2, head_dim=64, intermediate_size=1024, rms_norm_eps=1e-6, **SIZES)
DELTA = {"kind": "delta", "key_heads": 4, "value_heads": 8, "key_dim": 32, "value_dim": 64}
HYBRID = replace(PLAIN, layer_types=["linear_attention", "full_attention"] * 2, blocks={"linear_attention": DELTA})


def test_a_plain_model_is_attention_and_an_mlp() -> None:
    found = stack(PLAIN)
    assert [[block.kind for block in layer] for layer in found.layers] == [["attention", "dense"]] * 4
    products = sum(float(matrix.weights(1.0)) for block in found.layers[0] for matrix in block.matrices)
    assert products == 512 * (8 + 2 * 2 + 8) * 64 + 3 * 512 * 1024


def test_layers_differ() -> None:
    linear, full = stack(HYBRID).layers[0][0], stack(HYBRID).layers[1][0]
    assert (linear.kind, full.kind) == ("gated_delta", "attention")
    assert not linear.caches
    assert (
        whole(linear.state) == 8 * 32 * 64 * 4 + (2 * 4 * 32 + 8 * 64) * 4 * 2
    )  # a matrix a head, and the convolution's inputs


def test_states_are_cut_by_heads_and_stay_of_a_size() -> None:
    serve = replace(SERVE, global_batch_size=1)
    short, long = (case(world("tp1", HYBRID, replace(serve, sequence_lengths=[length]))) for length in (128, 4096))
    each = 2 * 2 * 64 * 2 * short.kv_bytes  # keys and values of the two layers that have some
    assert float(kv_cache(long)[0] - kv_cache(short)[0]) == (4096 - 128) * each
    halved = local(stack(HYBRID).layers[0][0].state, np.array(2.0))
    assert float(halved) == whole(stack(HYBRID).layers[0][0].state) / 2


def test_a_window_and_an_indexer_bound_what_is_read_and_not_what_is_kept() -> None:
    latent = replace(
        PLAIN,
        kv_lora_rank=64,
        qk_nope_head_dim=32,
        qk_rope_head_dim=16,
        v_head_dim=32,
        index_topk=256,
        index_n_heads=4,
        index_head_dim=32,
    )
    block = stack(latent).layers[0][0]
    assert block.kind == "sparse_latent"
    assert [(float(cache.entries(4096)), cache.limit) for cache in block.caches] == [(4096.0, 256), (4096.0, None)]
    window = stack(replace(PLAIN, sliding_window=128)).layers[0][0]
    assert [(float(cache.entries(4096)), cache.limit) for cache in window.caches] == [(128.0, 128)]


def test_an_indexer_whose_sizes_nobody_says_is_deepseeks() -> None:
    sizes = {"kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "index_topk": 256}
    unsaid = replace(PLAIN, **sizes)  # type: ignore[arg-type]
    said = replace(unsaid, index_n_heads=64, index_head_dim=128)
    assert stack(unsaid) == stack(said)
    assert stack(unsaid).layers[0][0].kind == "sparse_latent"


def test_experts_that_do_nothing_are_sent_no_token() -> None:
    routed = replace(PLAIN, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=64)
    found = totals(replace(routed, zero_expert_num=8))
    assert found.moe == totals(routed).moe
    assert found.active - found.dense == found.moe * 2 / 16
    assert replace(routed, zero_expert_num=8).routed_experts_per_tok == 1


def test_towers_are_held_and_not_counted() -> None:
    with_tower = replace(PLAIN, towers={"vision": 4e8})
    assert totals(with_tower) == totals(PLAIN)
    assert list(towers(case(world("pp2", with_tower, SERVE)))) == [8e8, 0]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"linear_attention": 3}, "model.blocks.linear_attention=3 is no mapping ; write {kind: ..., and its sizes}"),
    ({"linear_attention": {"kind": "delt"}}, "model.blocks.linear_attention.kind=delt is not known ; did you mean delta? "),
    ({"linear_attention": {**DELTA, "key_head": 4}}, "model.blocks.linear_attention.key_head is no size of kind delta ; did you mean key_heads"),
    ({"linear_attention": {"kind": "delta"}}, "model.blocks.linear_attention has no key_heads, which kind delta needs ; write model.blocks.linear_attention.key_heads=NUMBER"),
    ({"linear_attention": {**DELTA, "key_heads": -1}}, "model.blocks.linear_attention.key_heads=-1 is below 0 ; write 0 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("blocks", "said"), BAD)
def test_a_bad_block_is_told(blocks: dict[str, Any], said: str) -> None:
    assert str(next(kinds.problems(replace(HYBRID, blocks=blocks)))).startswith(said)


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compile_plan(["model=llama3_1_8b", "parallel=tp8", "hardware.nodes=1", *overrides])
    return str(caught.value)


def test_an_unknown_word_of_a_layer_is_told() -> None:
    words = ",".join(["full_attention"] * 31 + ["mamba3"])
    assert (
        "model.layer_types has mamba3, which model.blocks does not describe ; write one of full_attention"
        in refused(f"model.layer_types=[{words}]")
    )
    feeds = ",".join(["dense"] * 31)
    assert "model.mlp_layer_types has 31 entries for 32 layers" in refused(f"model.mlp_layer_types=[{feeds}]")


def test_kinds_without_a_curve_widen_the_interval() -> None:
    assert unmeasured(composed("model=llama3_1_8b")) == ()
    assert unmeasured(composed("model=qwen3_next_80b_a3b")) == ("gated_delta",)


SERVERS = (
    "hardware=h200",
    "hardware.nodes=2",
    "parallel=tp2_adp8_ep16_etp1",
    "workload.sequence_lengths=[4096]",
    "workload.global_batch_size=64",
)
TRAINER = (
    "hardware=h200",
    "hardware.nodes=16",
    "parallel=tp2_ep16_etp1_adp64",
    "workload=train",
    "workload.sequence_length=4096",
    "workload.global_batch_size=64",
)


@pytest.mark.parametrize("model", ["qwen3_next_80b_a3b", "nemotron_3_nano", "nemotron_3_super"])
@pytest.mark.parametrize(("framework", "degrees"), [("vllm", SERVERS), ("sglang", SERVERS), ("megatron", TRAINER)])
def test_hybrids_compile_under_the_engines_own_rules(model: str, framework: str, degrees: tuple[str, ...]) -> None:
    plan = compile_plan([f"model={model}", f"framework={framework}", *degrees])
    assert plan.to_dict()["memory"]["total_bytes"] > 0
    assert not [check for check in plan.to_dict()["checks"] if check["status"] == "fail"]
