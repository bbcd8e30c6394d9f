"""The architecture of a measured training run, from its row or from the file of its model."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from benchmarks.rows.record import Row, Skip, whole
from compiler.specs.model import Model

VOCABULARY = 51200
"""Rows of GPT-2's table padded to a multiple of 1,024 (Megatron-LM's default): for rows that do not state it."""

MLA = (1536, 512, 128, 64, 128)
"""Ranks of queries and of keys and values, widths without and with rotation, value width, where a row leaves them out."""


def model(row: Row) -> Model:
    """Raises Skip for sizes that are not given."""
    attention = row["attn"].lower()
    if re.search("mamba|hybrid|compressed", attention) or row["model"] in SHIPPED:
        return shipped(row)
    if not row["layers"] and not row["hidden"]:
        raise Skip("no architecture")
    hidden, experts = whole(row, "hidden"), whole(row, "experts", 0)
    ffn = whole(row, "ffn", 4 * hidden)
    found = Model(
        name=re.sub(r"[^a-z0-9]+", "_", row["model"].lower()),
        num_hidden_layers=whole(row, "layers"),
        hidden_size=hidden,
        num_attention_heads=whole(row, "heads"),
        num_key_value_heads=whole(row, "kv_heads", whole(row, "heads")),
        intermediate_size=ffn,
        vocab_size=whole(row, "vocab", VOCABULARY),
        gated_mlp="glu" in row["act"],
        tie_word_embeddings=row["act"] == "gelu" and "untie" not in row.get("extra_args", ""),
        num_experts=experts,
        num_experts_per_tok=whole(row, "topk", 0) if experts else 0,
        moe_intermediate_size=whole(row, "moe_ffn", ffn) if experts else None,
        shared_expert_intermediate_size=whole(row, "shared_expert_ffn", 0) or None if experts else None,
        first_k_dense_replace=whole(row, "dense_layers", 0),
        num_nextn_predict_layers=0 if "w/o MTP" in row["notes"] else whole(row, "mtp_layers", 0),
    )
    return _attention(found, row, attention)


SHIPPED = {
    "GPT OSS 120B": "gpt_oss_120b",
    "DeepSeekV4 Flash": "deepseek_v4_flash",
    "Nemotron_3_Nano": "nemotron_3_nano",
    "Nemotron_3_Super": "nemotron_3_super",
}
"""Models of rows whose layers, or the biases of their experts, no column says -> their file under conf/model."""


def shipped(row: Row) -> Model:
    """Raises Skip for a model that is not at hand, and for rows of other sizes."""
    name = SHIPPED.get(row["model"])
    if name is None:
        raise Skip("no layers of a hybrid")
    found = _shipped(name)
    if (found.num_hidden_layers, found.hidden_size) != (whole(row, "layers"), whole(row, "hidden")):
        raise Skip("no layers of a hybrid")
    predicted = 0 if "w/o MTP" in row["notes"] else whole(row, "mtp_layers", 0)
    return replace(found, num_nextn_predict_layers=predicted)


@cache
def _shipped(name: str) -> Model:
    """A file of conf/model, as a plan reads it."""
    from compiler.config.load import load_config

    return load_config([f"model={name}"]).model


def _attention(found: Model, row: Row, attention: str) -> Model:
    """With the row's own widths of heads, and windows."""
    text = row.get("head_dim", "")
    if "mla" in attention:
        q, kv, nope, rope, value = MLA
        if len(said := [int(x) for x in re.findall(r"\d+", text)]) == 5:
            nope, rope, value, q, kv = said
        found = replace(found, q_lora_rank=q, kv_lora_rank=kv, v_head_dim=value)
        return replace(found, qk_nope_head_dim=nope, qk_rope_head_dim=rope)
    if window := re.search(r"sliding window (\d+)/full", attention):
        kinds = ["sliding_attention", "full_attention"] * found.num_hidden_layers
        found = replace(found, sliding_window=int(window[1]), layer_types=kinds[: found.num_hidden_layers])
    return replace(found, head_dim=int(text)) if text.isdigit() else found
