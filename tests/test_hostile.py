"""A config.json with one value that no model has: told by its key, and never a traceback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.config.hf import described
from tests.hostile import VALUES, Key, fault, files, keys, refused

CHOSEN = (
    "bailing_hybrid",
    "deepseek_v4",
    "dory",
    "falcon_h1",
    "glm_moe_dsa",
    "jamba",
    "kimi_linear",
    "qwen3_moe",
    "zamba2",
)
KNOWN: list[tuple[dict[str, Any], list[Key]]] = [(data, keys(data)) for data in files(CHOSEN)]


def of(kind: str, **changes: Any) -> dict[str, Any]:
    return {**next(data for data, _ in KNOWN if data["model_type"] == kind), **changes}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_value_breaks_a_reader_and_each_is_told_by_its_key(data: st.DataObject) -> None:
    found, names = KNOWN[data.draw(st.integers(0, len(KNOWN) - 1))]
    key, value = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(VALUES))
    assert fault(found, key, value) is None


@pytest.mark.parametrize("kind", CHOSEN)
def test_the_files_that_are_changed_are_models(kind: str) -> None:
    assert refused(of(kind)) is None


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("falcon_h1", {"mamba_d_ssm": 0}, "has mamba_d_ssm=0 ; write a whole number, 1 or more"),
        ("falcon_h1", {"mamba_n_heads": 0}, "has mamba_n_heads=0 ; write a whole number, 1 or more"),
        ("falcon_h1", {"mamba_d_state": 0}, "has mamba_d_state=0 ; write a whole number, 1 or more"),
        ("jamba", {"mamba_expand": 0}, "has mamba_expand=0 ; write a whole number, 1 or more"),
        ("jamba", {"mamba_dt_rank": 0}, "has mamba_dt_rank=0 ; write a whole number, 1 or more"),
        ("jamba", {"attn_layer_period": 0}, "has attn_layer_period=0 ; write a whole number, 1 or more"),
        ("qwen3_moe", {"mlp_only_layers": [-1]}, "has -1 in mlp_only_layers ; write numbers of layers, 0 to 4096"),
        ("kimi_linear", {"first_k_dense_replace": -1}, "has first_k_dense_replace=-1 ; write a whole number"),
        (
            "kimi_linear",
            {"layer_types": None, "linear_attn_config": {"full_attn_layers": [0]}},
            "within linear_attn_config has 0 in full_attn_layers ; write numbers of layers, 1 to 4096",
        ),
        (
            "kimi_linear",
            {"linear_attn_config": {"head_dim": "128"}},
            "within linear_attn_config has head_dim='128' ; write a whole number, 1 or more",
        ),
        ("qwen3_moe", {"hidden_size": 3, "head_dim": None}, "has hidden_size=3 for 32 heads ; write heads of a width"),
        ("qwen3_moe", {"hidden_act": "\ud800"}, "has hidden_act='\\ud800' ; write a text of at most 64 characters"),
        ("qwen3_moe", {"architectures": [3]}, "has architectures=[3] ; write a list with the name of a class"),
        ("dory", {"n_recurrent_loops": 10**6}, "has n_recurrent_loops=1000000 ; write at most 64"),
    ],
)
def test_values_that_are_none(kind: str, changes: dict[str, Any], message: str) -> None:
    assert message in (refused(of(kind, **changes)) or "")


@pytest.mark.parametrize("size", [0, -5, 1.5])
@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_sizes_of_groups_that_are_none(method: str, size: float) -> None:
    given = {"quant_method": method, "bits": 4, "group_size": size}
    assert f"has quant_method={method} with group_size={size}, which is not known" in (
        refused(of("qwen3_moe", quantization_config=given)) or ""
    )


def test_marks_of_layers_that_attend_to_all_are_read() -> None:
    """MiniMax-Text-01's own file has a list of 0 and 1."""
    said = {key: value for key, value in of("qwen3_moe").items() if key not in ("layer_types", "num_experts")}
    marks = [int(i % 8 == 7) for i in range(said["num_hidden_layers"])]
    file = {**said, "model_type": "minimax_text_01", "attn_type_list": marks, "num_local_experts": 8}
    found = described("config.json", "config.json", json.loads(json.dumps(file)))
    assert [word == "full_attention" for word in found.mixer_words] == [bool(mark) for mark in marks]
