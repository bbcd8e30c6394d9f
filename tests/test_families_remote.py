"""Families whose class comes with the checkpoint, which transformers has none of: against sizes that were published."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.blocks.stack import stack
from compiler.costs.work.params import totals
from compiler.specs.model import Model
from tests.families import ours


def params(model: Model) -> float:
    found = totals(model)
    return found.dense + found.moe


PUBLISHED: tuple[tuple[dict[str, Any], float, float], ...] = (
    (  # GLM-4-9B: its checkpoint's own count
        {
            "model_type": "chatglm",
            "num_layers": 40,
            "hidden_size": 4096,
            "ffn_hidden_size": 13696,
            "num_attention_heads": 32,
            "multi_query_attention": True,
            "multi_query_group_num": 2,
            "kv_channels": 128,
            "padded_vocab_size": 151552,
            "add_qkv_bias": True,
        },
        9_399_951_360,
        0,
    ),
    (  # Grok 2: 270 billion
        {
            "model_type": "grok-1",
            "hidden_size": 8192,
            "num_hidden_layers": 64,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 32768,
            "moe_intermediate_size": 16384,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "vocab_size": 131072,
            "residual_moe": True,
        },
        270e9,
        0.01,
    ),
    (  # Step3: 316 billion beside its tower (2507.19427)
        {
            "model_type": "step3_text",
            "hidden_size": 7168,
            "num_hidden_layers": 61,
            "num_attention_heads": 64,
            "num_attention_groups": 1,
            "head_dim": 256,
            "share_q_dim": 2048,
            "intermediate_size": 18432,
            "moe_num_experts": 48,
            "moe_top_k": 3,
            "moe_intermediate_size": 5120,
            "share_expert_dim": 5120,
            "vocab_size": 128815,
            "moe_layers_enum": ",".join(map(str, range(4, 60))),
        },
        316e9,
        0.01,
    ),
)


@pytest.mark.parametrize(("data", "size", "within"), PUBLISHED, ids=[str(row[0]["model_type"]) for row in PUBLISHED])
def test_families_without_a_class_are_as_large_as_published(data: dict[str, Any], size: float, within: float) -> None:
    assert params(ours(data)) == pytest.approx(size, rel=within)


def test_layers_of_a_pruned_model_differ() -> None:
    """Each has its own groups and width, or no block, or a product in its place."""
    none, linear = {"no_op": True}, {"replace_with_linear": True}
    said = [({"n_heads_in_group": 8}, {"ffn_mult": 5.25}), (none, {"ffn_mult": 1.3125}), (linear, none)]
    data = {
        "model_type": "nemotron-nas",
        "hidden_size": 8192,
        "num_hidden_layers": 3,
        "num_attention_heads": 64,
        "vocab_size": 128256,
        "block_configs": [{"attention": attention, "ffn": feed} for attention, feed in said],
    }
    kinds = [[(block.kind, block.width) for block in layer] for layer in stack(ours(data)).layers]
    assert kinds == [[("attention", 0), ("dense", 28672)], [("dense", 7168)], [("projection", 0)]]
