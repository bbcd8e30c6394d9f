"""Of which family servers take a model, what is written of it as a checkpoint's file, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compiler.frameworks import hf_file, lifted, proof
from compiler.frameworks.family import architecture, family, unknown
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.lifted import Source
from compiler.frameworks.sglang import prove
from compiler.frameworks.sglang.checkpoint import config_json
from compiler.frameworks.vllm import resolved
from compiler.specs.model import Model
from tests.configs import composed

UNKNOWN = {
    "qwen3_next_80b_a3b": "architecture Qwen3NextForCausalLM",
    "nemotron_3_super": "architecture NemotronHForCausalLM",
    "deepseek_v4_pro": "architecture DeepseekV4ForCausalLM",
}
KNOWN = {"glm_5": "glm_moe_dsa", "deepseek_v3_2": "deepseek_v32", "kimi_k2_5": "kimi_k2", "gpt_oss_20b": "gpt_oss"}
SIZES: dict[str, Any] = {
    "name": "m",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "vocab_size": 100,
}


def shipped(name: str) -> Model:
    return composed(f"model={name}", "hardware=b200", "framework=vllm").model


@pytest.mark.parametrize("name", UNKNOWN)
def test_no_other_model_is_written_for_an_unknown_one(name: str) -> None:
    model = shipped(name)
    assert unknown(model) == UNKNOWN[name]


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_one_is_written_as_itself(name: str) -> None:
    model = shipped(name)
    assert (unknown(model), family(model)) == ("", KNOWN[name])


def test_what_the_model_says_of_its_indexer_is_written() -> None:
    model = shipped("glm_5")
    sizes = {"index_topk": 2048, "index_n_heads": 32, "index_head_dim": 128}
    for written in (hf_file.written(model, "bf16", 4096), config_json(model, "bf16")):
        assert {key: written[key] for key in sizes} == sizes
        assert written["architectures"] == ["GlmMoeDsaForCausalLM"]


def test_words_of_our_own_are_not_written() -> None:
    types = ["full_attention", "shared_index"]
    own = Model(**SIZES, model_type="glm_moe_dsa", layer_types=types, blocks={"shared_index": {"kind": "latent"}})
    assert "layer_types" not in hf_file.written(own, "bf16", 4096)
    assert unknown(own) == ""


def test_a_nameless_model_is_of_a_family_with_its_parts_or_of_none() -> None:
    assert family(Model(**SIZES)) == "llama"
    odd = Model(**SIZES, layer_types=["full_attention", "conv"], blocks={"conv": {"kind": "convolution"}})
    assert unknown(odd) == "no family, and layers of conv"
    assert unknown(Model(**SIZES, model_type="exaone4")) == "family exaone4"
    assert architecture(Model(**SIZES, model_type="glm4_moe")) == "Glm4MoeForCausalLM"


def test_a_proof_says_that_it_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Source("vllm", Path("nowhere"))
    for server in ("vllm", "sglang"):
        world = lay_out(composed(f"framework={server}", "model=qwen3_next_80b_a3b", "hardware=h200", "parallel=tp2"))
        monkeypatch.setattr(prove, "laid_out", lambda *_: iter(()))
        monkeypatch.setattr(lifted, "source", lambda *_: place)
        made = resolved.findings(world, place) if server == "vllm" else prove.prove(world, None)
        title = {"vllm": "vLLM", "sglang": "SGLang"}[server]
        assert list(made) == [proof.unprovable(title, "architecture Qwen3NextForCausalLM")]
    assert not proof.unprovable("vLLM", "family x").equal
