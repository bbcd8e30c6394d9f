"""The registered configs of torchtitan: they build the models that the plan takes them for, and differ where it says so."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import pytest

from compiler.frameworks.torchtitan import arguments, described
from compiler.frameworks.versions import version
from compiler.specs.config import Config
from tests.configs import changed, composed

torch = pytest.importorskip("torch")
pytest.importorskip("torchtitan", reason="torchtitan is not installed")

BASE = composed("framework=torchtitan", "workload=train")
ROWS: Mapping[str, Mapping[str, Any]] = {row["config"]: row for row in version(BASE).facts["models"]}
COUNTS = {
    "llama3_1_8b": 8_030_261_248,
    "llama3_1_70b": 70_553_706_496,
    "llama3_1_405b": 405_853_388_800,
    "qwen3_30b_a3b": 30_532_122_624,
    "gpt_oss_120b": 116_829_156_672,
    "deepseek_v3": 671_026_404_352,
}
"""Parameters of the checkpoints; torchtitan has no MTP layers, and is warned of."""


def planned(name: str) -> Config:
    return composed("framework=torchtitan", "workload=train", f"model={name}", "parallel=adp1024")


def registered(row: Mapping[str, Any]) -> Any:
    with warnings.catch_warnings(action="ignore"):
        return importlib.import_module(f"torchtitan.models.{row['module']}").model_registry(row["flavor"]).model


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_a_shipped_model_is_built_whole(name: str, count: int) -> None:
    row = arguments.known_model(planned(name))
    assert row is not None
    with torch.device("meta"):
        built = registered(row).build()
    assert sum(item.numel() for item in built.parameters()) == count


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_the_table_says_what_a_config_builds(row: Mapping[str, Any]) -> None:
    built = registered(row)
    first, last = built.layers[0], built.layers[-1]
    rope, attention, moe = first.attention.rope, first.attention, getattr(last, "moe", None)
    dense = getattr(first, "feed_forward", None)
    scaling = {"none": "default", "llama": "llama3"}.get(rope.scaling, rope.scaling)
    found = {
        "norm_epsilon": built.norm.eps,
        "rope_theta": rope.theta,
        "rope_scaling.rope_type": scaling,
        "rope_scaling.factor": {"llama3": rope.scaling_factor, "yarn": rope.rope_factor}.get(scaling, 1.0),
        "tie_word_embeddings": built.enable_weight_tying,
        "use_qk_norm": getattr(attention, "qk_norm", None) is not None,
        "ffn": dense.w1.out_features if dense else 0,
    }
    if moe:
        router = moe.router
        found |= {"expert": moe.routed_experts.inner_experts.hidden_dim, "topk": router.top_k}
        found |= {"scoring_func": router.score_func, "norm_topk_prob": router.route_norm}
        found |= {"routed_scaling_factor": router.route_scale, "n_group": router.num_expert_groups or 1}
        found["topk_group"] = router.num_limited_groups or 1
        found["shared"] = moe.shared_experts.w1.out_features if moe.shared_experts else 0
    said = {**described.USUAL, **version(BASE).facts["modules"][row["module"]], **row.get("says", {})}
    assert {key: row.get(key, said.get(key, 0)) for key in found} == found


@pytest.mark.parametrize(
    ("name", "values", "lost"),
    [
        ("llama3_1_8b", {}, []),
        ("deepseek_v3", {}, ["rms_norm_eps=1e-06"]),
        ("qwen3_30b_a3b", {}, ["router_aux_loss_coef=0.001"]),
        ("llama3_1_8b", {"model.rope_theta": 10000.0}, ["rope_theta=10000.0"]),
        ("llama3_1_8b", {"model.hidden_act": "gelu", "model.tie_word_embeddings": True}, ["tie_word_embeddings=True", "hidden_act=gelu"]),
    ],
)  # fmt: skip
def test_what_a_config_has_otherwise_is_told(name: str, values: dict[str, Any], lost: list[str]) -> None:
    found = [check for check in described.declared(changed(planned(name), values)) if check.status == "warn"]
    assert [check.observed for check in found] == lost
    assert all(f"{arguments.known_model(planned(name))['config']} has " in check.message for check in found)  # type: ignore[index]


@pytest.mark.parametrize("key", ["intermediate_size", "num_key_value_heads"])
def test_other_sizes_are_another_model(key: str) -> None:
    assert arguments.known_model(changed(planned("llama3_1_8b"), {f"model.{key}": 1024})) is None
