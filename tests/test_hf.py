"""Reading a real `config.json`: every family, what a file leaves open, and every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compiler.config.families.table import FAMILIES, NAMED
from compiler.config.hf import read, resized
from compiler.specs.ranges import problems
from tests.hf_files import DATA, MEASURED, WRAPPED, changed, data, message, shipped, without_origin


def test_every_file_here_is_of_a_family() -> None:
    assert {path.stem for path in DATA.glob("*.json")} <= {*FAMILIES, *NAMED}


@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
def test_every_family_is_a_valid_model(path: Path) -> None:
    model = read(str(path))
    assert list(problems(model)) == []
    assert len(model.moe_layers) == len(model.windows) == model.num_hidden_layers


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("gpt2", {"hidden_size": 768, "intermediate_size": 3072, "gated_mlp": False, "tie_word_embeddings": True}),
        ("mistral", {"sliding_window": 4096, "layer_types": None}),
        ("qwen2", {"sliding_window": None, "num_key_value_heads": 4}),
        ("qwen2_moe", {"num_experts": 60, "moe_intermediate_size": 1408, "shared_size": 5632}),
        ("qwen3", {"tie_word_embeddings": True, "head_size": 128}),
        ("deepseek_v2", {"mla": True, "shared_size": 3072, "n_group": 8, "topk_group": 3}),
        ("glm4_moe", {"mla": False, "head_size": 128, "first_k_dense_replace": 3, "num_nextn_predict_layers": 1}),
        ("glm_moe_dsa", {"mla": True, "head_dim": None, "v_head_dim": 256}),
        ("minimax_m2", {"num_experts": 256, "expert_size": 1536, "shared_size": 0, "intermediate_size": 0}),
        ("llama4", {"expert_size": 8192, "intermediate_size": 16384, "shared_size": 8192, "sliding_window": 8192}),
        ("kimi_k25", {"num_experts": 384, "dtype": "bf16", "precision": "bf16"}),
    ],
)
def test_fields_of_a_family(family: str, expected: dict[str, Any]) -> None:
    model = read(str(DATA / f"{family}.json"))
    assert {key: getattr(model, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("deepseek_v3", "deepseek_v3"),
        ("gpt_oss", "gpt_oss_120b"),
        ("kimi_k2", "kimi_k2"),
        ("llama", "llama3_1_8b"),
        ("mixtral", "mixtral_8x7b"),
        ("qwen3_moe", "qwen3_30b_a3b"),
    ],
)
def test_equals_the_file_of_the_same_model(file: str, name: str) -> None:
    assert without_origin(read(str(DATA / f"{file}.json"))) == without_origin(shipped(name))


@pytest.mark.skipif(not MEASURED.is_dir(), reason="no measured models beside the checkout")
@pytest.mark.parametrize("path", sorted(MEASURED.glob("*.json")) or [MEASURED], ids=lambda path: path.stem)
def test_reads_real_files(path: Path) -> None:
    model = read(str(path))
    assert list(problems(model)) == []
    assert model.name == path.stem.split("--")[1].lower()


@pytest.mark.skipif(not MEASURED.is_dir(), reason="no measured models beside the checkout")
@pytest.mark.parametrize(
    ("file", "name", "apart"),
    [
        ("deepseek-ai--DeepSeek-V3", "deepseek_v3", ()),
        ("meta-llama--Meta-Llama-3.1-8B", "llama3_1_8b", ()),
        ("meta-llama--Meta-Llama-3.1-70B", "llama3_1_70b", ()),
        (
            "moonshotai--Kimi-K2.5",
            "kimi_k2",
            ("architectures", "quantization", "rope_scaling", "rms_norm_eps", "max_position_embeddings", "towers"),
        ),
        ("openai--gpt-oss-120b", "gpt_oss_120b", ()),
        ("Qwen--Qwen3-30B-A3B", "qwen3_30b_a3b", ()),
        ("Qwen--Qwen3-235B-A22B", "qwen3_235b_a22b", ()),
    ],
)
def test_conf_equals_real_files(file: str, name: str, apart: tuple[str, ...]) -> None:
    assert without_origin(read(str(MEASURED / f"{file}.json")), *apart) == without_origin(shipped(name), *apart)


LAYERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("qwen3_moe", {}, {"use_qk_norm": True, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "norm_topk_prob": True, "qkv_bias": False}),
    ("qwen3_moe", {"rope_theta": ..., "rope_parameters": {"rope_theta": 5e6, "rope_type": "default"}}, {"rope_theta": 5e6, "scaled_rope": False}),
    ("qwen2", {}, {"qkv_bias": True, "attention_bias": False, "use_qk_norm": False}),
    ("qwen2_moe", {}, {"shared_expert_gate": True, "norm_topk_prob": False}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}, {"attention_bias": True, "mlp_bias": True, "activation": "gelu"}),
    ("glm4_moe", {"attention_bias": True, "use_qk_norm": True}, {"qkv_bias": True, "attention_bias": False, "use_qk_norm": True, "partial_rotary_factor": 0.5, "scoring_func": "sigmoid", "use_routing_bias": True}),
    ("minimax_m2", {"head_dim": 128}, {"qk_norm_type": "per_layer", "partial_rotary_factor": 0.5, "scoring_func": "sigmoid", "use_routing_bias": True}),
    ("deepseek_v2", {}, {"scoring_func": "softmax", "norm_topk_prob": False, "use_routing_bias": False}),
    ("deepseek_v3", {}, {"scoring_func": "sigmoid", "norm_topk_prob": True, "use_routing_bias": True, "routed_scaling_factor": 2.5, "scaled_rope": True}),
    ("gpt_oss", {}, {"attention_sinks": True, "activation": "swigluoai", "swiglu_limit": 7.0, "attention_bias": True, "mlp_bias": True, "router_aux_loss_coef": 0.9}),
    ("llama4", {"use_qk_norm": True}, {"scale_expert_inputs": True, "attention_chunk_size": 8192}),
    ("glm_moe_dsa", {}, {"index_topk": 2048}),
    ("gpt2", {}, {"position_embedding_type": "absolute", "max_position_embeddings": 1024, "rms_norm": False, "norm_epsilon": 1e-5, "hidden_dropout": 0.1, "activation": "gelu_new"}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "changes", "expected"), LAYERS)
def test_what_layers_do(tmp_path: Path, family: str, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    model = changed(tmp_path, family, **changes)
    assert {key: getattr(model, key) for key in expected} == expected


def test_scaled_positions(tmp_path: Path) -> None:
    scaling = changed(tmp_path, "gpt_oss").rope_scaling
    assert (scaling.rope_type, scaling.factor, scaling.truncate) == ("yarn", 32.0, False)
    plain = {"type": "yarn", "factor": 4.0}
    found = changed(tmp_path, "llama", rope_scaling=plain, max_position_embeddings=32768).rope_scaling
    assert (found.original_max_position_embeddings, found.beta_fast, found.mscale) == (32768, 32.0, None)


def test_bad_layers_are_told(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    changes = {"rms_norm_eps": "1e-6", "hidden_act": 3, "rope_scaling": "yarn", "qk_norm_type": "per_token"}
    path.write_text(json.dumps(data("minimax_m2", **changes)))
    where = f"model.hf_config={path}"
    assert set(message(path).splitlines()) == {
        f"{where} has rms_norm_eps='1e-6' ; write a number from 0 to 0.1",
        f"{where} has hidden_act=3 ; write a text of at most 64 characters",
        f"{where} has rope_scaling='yarn' ; write a mapping",
        f"{where} has qk_norm_type='per_token' ; write one of per_layer, per_head",
    }


def test_layers_that_route_to_experts(tmp_path: Path) -> None:
    qwen = changed(tmp_path, "qwen3_moe", num_hidden_layers=6, decoder_sparse_step=2, mlp_only_layers=[3])
    assert qwen.moe_layers == (False, True, False, False, False, True)
    assert read(str(DATA / "llama4.json")).moe_layers == (False, True) * 24
    listed = changed(tmp_path, "glm_moe_dsa", num_hidden_layers=3, mlp_layer_types=["dense", "sparse", "sparse"])
    assert listed.moe_layer_freq == [0, 1, 1]
    assert read(str(DATA / "deepseek_v3.json")).moe_layers == (False,) * 3 + (True,) * 58


def test_windows(tmp_path: Path) -> None:
    assert read(str(DATA / "gpt_oss.json")).windows[:3] == (128, None, 128)
    assert changed(tmp_path, "gpt_oss", layer_types=...).windows[:3] == (128, None, 128)
    assert read(str(DATA / "llama4.json")).windows[:5] == (8192, 8192, 8192, None, 8192)
    late = changed(tmp_path, "qwen2", use_sliding_window=True, max_window_layers=27)
    assert late.windows == (None,) * 27 + (131072,)


def test_greedy_routing_has_no_groups(tmp_path: Path) -> None:
    model = changed(tmp_path, "deepseek_v2", topk_method="greedy")
    assert (model.n_group, model.topk_group) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "dtype", "precision"),
    [
        ({"torch_dtype": "float16"}, "fp16", "fp16"),
        ({"torch_dtype": ..., "dtype": "float32"}, "fp32", "fp32"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "bf16", "nvfp4"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}}, "bf16", "fp8"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}, "torch_dtype": "float16"}, "fp16", "fp16"),
        ({"quantization_config": None}, "bf16", "bf16"),
    ],
)
def test_precision(tmp_path: Path, changes: dict[str, Any], dtype: str, precision: str) -> None:
    model = changed(tmp_path, "llama", head_dim=128, **changes)
    assert (model.dtype, model.precision, model.assumed) == (dtype, precision, [])


def test_a_precision_that_is_not_given_is_assumed(tmp_path: Path) -> None:
    assert changed(tmp_path, "llama", head_dim=128, torch_dtype=...).assumed == ["dtype"]


@pytest.mark.parametrize(
    ("where", "said", "name"),
    [
        ("deepseek-ai--DeepSeek-V3.json", ..., "deepseek-v3"),
        ("Qwen3-30B-A3B/config.json", ..., "qwen3-30b-a3b"),
        ("models--meta-llama--Llama-3.1-8B/snapshots/0e9e39f/config.json", ..., "llama-3.1-8b"),
        ("config.json", "mistralai/Mixtral-8x7B-v0.1", "mixtral-8x7b-v0.1"),
        ("llama.json", "", "llama"),
        ("_my model (2).json", ..., "my-model-2-"),
    ],
)
def test_name(tmp_path: Path, where: str, said: Any, name: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data("llama", _name_or_path=said)))
    assert read(str(path)).name == name


@pytest.mark.parametrize("kind", ["llava", "mistral3", "some_new_wrapper"])
def test_a_language_model_within_a_file_of_several_parts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps(
            {"model_type": kind, "text_config": WRAPPED, "vision_config": {"hidden_size": 64, "num_hidden_layers": 2}}
        )
    )
    model = read(str(path))
    assert (model.num_hidden_layers, model.hidden_size) == (32, 4096)
    assert model.towers == {"vision": 2 * (4 * 64**2 + 2 * 64 * 256) + 14**2 * 3 * 64}
    assert "towers.vision" not in model.assumed


def test_a_tower_without_sizes_is_assumed(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llava", "text_config": {"model_type": "llama"}}))
    model = read(str(path))
    assert {"towers.vision", "hidden_size", "num_hidden_layers"} <= {*model.assumed}
    assert (model.hidden_size, model.towers) == (4096, {"vision": 4e8})


def test_a_tower_whose_blocks_are_as_wide_as_what_it_puts_out(tmp_path: Path) -> None:
    """GLM-4V's, within a thousandth of its class's 892,498,432."""
    path = tmp_path / "config.json"
    vision = {"model_type": "glm4v", "depth": 24, "hidden_size": 1536, "intermediate_size": 13696, "hidden_act": "silu"}
    vision |= {"out_hidden_size": 4096, "patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2}
    path.write_text(
        json.dumps({"model_type": "glm4v", "text_config": {"model_type": "llama"}, "vision_config": vision})
    )
    assert read(str(path)).towers["vision"] == pytest.approx(892_498_432, rel=0.002)


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    path = tmp_path / f"{'m' * 150}.json"
    path.write_text(json.dumps(data("llama", _name_or_path=...)))
    assert read(str(path)).name == "m" * 60


def test_names_of_keys_that_stand_for_each_other(tmp_path: Path) -> None:
    """transformers 5.8 and later write `num_local_experts` of a qwen3_moe."""
    there = changed(tmp_path, "qwen3_moe")
    assert changed(tmp_path, "qwen3_moe", num_experts=..., num_local_experts=there.num_experts) == there


def test_lists_of_layers_follow_the_number_of_layers() -> None:
    model = read(str(DATA / "gpt_oss.json"))
    longer, shorter = resized(model, 50), resized(model, 3)
    assert longer.layer_types == (model.layer_types or []) * 1 + (model.layer_types or [])[:14]
    assert shorter.layer_types == ["sliding_attention", "full_attention", "sliding_attention"]
