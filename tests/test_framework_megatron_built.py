"""The arguments build the model: Megatron's parameters are those of the config.json, and it computes what that says."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from compiler.config.families.table import FAMILIES, NAMED
from compiler.costs.work import params
from compiler.frameworks.megatron import layer, placed
from compiler.frameworks.megatron.installed import module
from tests.configs import changed
from tests.megatron_built import built, parameters, parsed, whole
from tests.megatron_configs import checks
from tests.megatron_plans import newest_megatron, verdict

FILES = Path(__file__).parents[1].parent / "shared" / "cases" / "hf"
LARGE = 120e9
"""Parameters above which the families' smaller models stand for them: a module is made for every expert."""

UNBUILT = {"DeepSeek-V2-Lite", "Kimi-Linear-48B-A3B", "Moonlight-16B-A3B", "Qwen--Qwen3.5-27B", "Qwen3-Next-80B-A3B"}
"""Latent attention without a query rank, whose norms Megatron has with Transformer Engine alone, and gated delta, which it builds with
that alone.
"""

PUBLISHED = {
    "model=llama3_1_8b": 8_030_261_248,
    "model=llama3_1_405b": 405_853_388_800,
    "model=mixtral_8x7b": 46_702_792_704,
    "model=qwen3_30b_a3b": 30_532_122_624,
    "model=gpt_oss_120b": 116_829_156_672,
    "model=deepseek_v3": 671_026_404_352,
}
"""Parameters of the checkpoints, without MTP layers and routing biases, which are no parameters."""


@pytest.fixture(scope="module", autouse=True)
def newest() -> Iterator[None]:
    with newest_megatron():
        yield


def listed() -> dict[str, int]:
    """Files beside the checkout whose family is known, and their exact counts."""
    if not FILES.is_dir():
        return {}
    rows = csv.DictReader((FILES / "expected.csv").read_text().splitlines())
    found = {FILES / row["file"]: int(row["total"]) for row in rows}
    kinds = {path: json.loads(path.read_text())["model_type"] for path in found}
    return {
        str(path): count
        for path, count in found.items()
        if kinds[path] in {*FAMILIES, *NAMED} and path.stem not in UNBUILT and count < LARGE
    }


@pytest.mark.parametrize(("model", "count"), PUBLISHED.items())
def test_a_shipped_model_is_built_whole(model: str, count: int) -> None:
    config = whole(model)
    main, mtp = parameters(built(config), config)
    assert main == count
    assert mtp == params.totals(config.model).mtp


COUNTING = ("attention_bias", "blocks", "index", "layer_types", "mlp_bias", "norm_weights", "other_params", "qk_norm")
"""What changes the number of parameters where it is told to get lost."""


@pytest.mark.parametrize(("path", "count"), listed().items(), ids=lambda value: Path(str(value)).stem)
def test_a_file_is_built_whole_or_something_of_it_is_told(path: str, count: int) -> None:
    config = whole(f"model.hf_config={path}")
    main, _ = parameters(built(config), config)
    lost = [key for key, *_ in layer.unsaid(config)]
    assert main == count or any(key.startswith(COUNTING) for key in lost)


WRITTEN: list[tuple[str, str, dict[str, Any]]] = [
    # what the plan says, and what Megatron's configuration of it is
    ("model=qwen3_30b_a3b", "qk_layernorm", {"qk_layernorm": True, "layernorm_epsilon": 1e-6, "add_bias_linear": False, "hidden_dropout": 0.0, "attention_dropout": 0.0}),
    ("model=deepseek_v3", "router", {"moe_router_score_function": "sigmoid", "moe_router_enable_expert_bias": True, "moe_router_topk_scaling_factor": 2.5, "moe_router_num_groups": 8, "moe_router_group_topk": 4, "moe_router_load_balancing_type": "none"}),
    ("model=deepseek_v3", "yarn", {"rope_type": "yarn", "rotary_scaling_factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0, "rotary_base": 10000}),
    ("model=gpt_oss_120b", "activation", {"softmax_type": "learnable", "activation_func_clamp_value": 7.0, "glu_linear_offset": 1.0, "gated_linear_unit": True, "add_bias_linear": True, "yarn_rotary_scaling_factor": 32, "yarn_correction_range_round_to_int": False}),
    ("model=mixtral_8x7b", "aux loss", {"moe_aux_loss_coeff": 0.02, "moe_router_load_balancing_type": "aux_loss", "moe_router_pre_softmax": False, "moe_router_dtype": "fp32"}),
    ("model=gpt3_175b", "plain", {"gated_linear_unit": False, "normalization": "LayerNorm", "add_bias_linear": True}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "what", "expected"), WRITTEN)
def test_megatrons_configuration_says_what_the_file_says(model: str, what: str, expected: dict[str, Any]) -> None:
    config = placed._from_args(parsed(whole(model)))
    assert {key: getattr(config, key) for key in expected} == expected


def test_latent_attention_without_scaling_rotates_as_rope_does() -> None:
    made = placed._from_args(parsed(whole("model=deepseek_v3", "model.rope_scaling.rope_type=default")))
    common = module("megatron.core.models.common.embeddings")
    keys = ("beta_fast", "beta_slow", "mscale", "mscale_all_dim", "original_max_position_embeddings")
    fixed = {key: getattr(made, key) for key in keys}
    with mock.patch.object(torch.cuda, "current_device", return_value=torch.device("cpu")):
        yarn = common.YarnRotaryEmbedding(64, rotary_base=10000, scaling_factor=made.rotary_scaling_factor, **fixed)
        plain = common.RotaryEmbedding(64, 1.0, rotary_base=10000, cp_group=None)
    assert torch.equal(yarn.inv_freq_inter, plain.inv_freq)
    assert math.isclose(common._yarn_get_mscale(made.rotary_scaling_factor, made.mscale_all_dim), 1.0)


def test_experts_with_biases_are_whole() -> None:
    two = {"parallel.tp": 2, "parallel.adp": 1, "parallel.dp": None, "hardware.nodes": 2}
    split = changed(whole("model=gpt_oss_120b"), {**two, "parallel.etp": 2})
    assert checks(split)["megatron-expert-biases"].status == "fail"
    assert "Bias in Moe is only supported when ETP==1" in verdict(split)
    one = changed(split, {"parallel.etp": 1})
    assert checks(one)["megatron-expert-biases"].status == "pass"
    assert verdict(one) == ""
