"""Families against transformers' own classes on the meta device: parameters exactly, and caches by a forward pass."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.blocks.block import whole
from compiler.blocks.stack import stack
from compiler.config import hf
from compiler.config.families import routed
from compiler.config.families.table import CORE, FAMILIES, NAMED
from compiler.config.hf import DEFAULTS
from compiler.costs.work.params import totals
from compiler.specs.model import Model
from tests import engines, family_defaults, model_table
from tests.families import COMPLETED, built, built_wrapper, count, known, ours, transformers

ZERO_EXPERTS = {"longcat_flash"}
"""transformers 5.24 gives experts that do nothing weights; checkpoints and engines have none."""

CACHED = (
    "deepseek_v32",
    "falcon_h1",
    "gemma3_text",
    "glm4_moe_lite",
    "gpt_oss",
    "jamba",
    "kimi_linear",
    "lara_mini",
    "lfm2",
    "mamba2",
    "mimo_v2_flash",
    "qwen3_5_moe_text",
    "qwen3_next",
    "zaya",
    "zamba2",
)
WRAPPERS = (
    "aria",
    "cosmos3_edge",
    "ernie4_5_vl_moe",
    "glm4v",
    "glm5_next",
    "internvl",
    "mistral3",
    "molmo2",
    "muse_glimmer",
    "muse_spark",
    "paddleocr_vl",
    "qwen2_5_omni_thinker",
    "qwen3_vl_moe",
    "step3p7",
    "unlimited_ocr",
)
TOKENS = 64
DATA = Path(__file__).parent / "data" / "hf"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What transformers warns of is its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def params(model: Model) -> float:
    found = totals(model)
    return found.dense + found.moe


def core(data: dict[str, Any], config: Any) -> dict[str, Any]:
    """What must be there, by all its names; the rest is left to the class."""
    aliases = {other for key, other in dict(config.attribute_map).items() if key in CORE}
    kept = {"model_type", *CORE, *aliases, *COMPLETED.get(data["model_type"], {})}
    return {key: value for key, value in data.items() if key in kept}


@pytest.mark.parametrize("kind", [kind for kind in known() if kind not in ZERO_EXPERTS])
def test_parameters_are_those_of_the_class(kind: str) -> None:
    """Of a whole file, and of one that says no more than what tells a model from others of its family."""
    data, model = built(kind, **COMPLETED.get(kind, {}))
    exact = sum(item.numel() for item in model.parameters())
    assert params(ours(data)) == exact
    assert params(ours(core(data, model.config))) == exact


@pytest.mark.parametrize("kind", WRAPPERS)
def test_the_language_model_of_several_parts_is_that_of_the_class(kind: str) -> None:
    """Without its towers, and with the experts that only parts of images meet."""
    data, counts = built_wrapper(kind)
    language = sum(size for name, size in counts.items() if "language_model" in name or name.startswith("lm_head"))
    found = ours(data)
    assert params(found) + found.towers.get("vision_experts", 0) == language
    assert found.towers


@pytest.mark.parametrize("kind", CACHED)
def test_caches_are_those_of_a_forward_pass(kind: str) -> None:
    torch = pytest.importorskip("torch")
    data, model = built(kind, **COMPLETED.get(kind, {}))
    with torch.no_grad():
        found = model(input_ids=torch.zeros((1, TOKENS), dtype=torch.long, device="meta"), use_cache=True)
    kept = getattr(found, "past_key_values", None) or found.cache_params
    blocks = [block for layer in stack(ours(data)).layers for block in layer]
    cached = sum(2 * whole(cache.parts) * float(cache.entries(TOKENS)) for block in blocks for cache in block.caches)
    states = sum(whole(block.state) for block in blocks)
    assert cached + states == pytest.approx(sum(sizes(kept)), rel=0.01)


def sizes(found: Any, seen: set[int] | None = None) -> Iterator[int]:
    """Bytes of every tensor within a cache, each once."""
    import torch

    seen = set() if seen is None else seen
    if isinstance(found, torch.Tensor):
        if found.dim() and id(found) not in seen:
            seen.add(id(found))
            yield found.numel() * found.element_size()
    elif isinstance(found, (list, tuple, dict)):
        for part in found.values() if isinstance(found, dict) else found:
            yield from sizes(part, seen)
    elif type(found).__module__.startswith("transformers") and hasattr(found, "__dict__"):
        for name, part in vars(found).items():
            if name != "config":
                yield from sizes(part, seen)


DROPPED = (
    "deepseek_v3",
    "glm4_moe",
    "glm_moe_dsa",
    "gpt2",
    "gpt_oss",
    "llama",
    "minimax_m2",
    "mistral",
    "mixtral",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
)
UNCOUNTED = {
    "model_type",
    "torch_dtype",
    "dtype",
    "_name_or_path",
    "quantization_config",
    "n_embd",
    "n_head",
    "n_layer",
}


@pytest.mark.parametrize("kind", DROPPED)
def test_a_key_that_is_left_out_is_the_class_s_and_assumed(kind: str) -> None:
    """Each key of a real file, one after another; those that the class says nothing of are refused by name, or derived."""
    transformers()
    data = json.loads((DATA / f"{kind}.json").read_text())
    said = json.loads(DEFAULTS.read_text())[kind]
    names = {*said["defaults"], *dict(said.get("aliases", {})).values()}
    for key in sorted(names & {*data} - UNCOUNTED - CORE):
        less = {name: value for name, value in data.items() if name != key}
        read = ours(less)
        assert params(read) == count(less), key
        assert key in read.assumed or data[key] in (None, False, 0, 1), key


def test_defaults_are_those_of_the_classes() -> None:
    transformers()
    assert DEFAULTS.read_text() == family_defaults.written(), "run `python -m tests.family_defaults`"


def test_other_names_lead_to_families() -> None:
    assert {*NAMED.values()} <= {*FAMILIES}
    assert not {*NAMED} & {*FAMILIES}


def test_a_family_is_added_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry of CONTRIBUTING.md, word by word."""
    page = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    entry = re.search(r"^\"acme\": .*$", page, re.MULTILINE)
    assert entry is not None
    made: dict[str, Any] = eval(f"{{{entry[0]}}}", vars(routed))
    monkeypatch.setattr(hf, "FAMILIES", {**FAMILIES, **made})
    data = json.loads((DATA / "qwen3_moe.json").read_text())
    more = {
        "model_type": "acme",
        "sliding_window": 512,
        "shared_expert_intermediate_size": 1024,
        "num_hidden_layers": 8,
    }
    found = ours({**data, **more})
    assert found.windows == (512, 512, 512, None) * 2
    assert (found.shared_size, found.use_qk_norm, found.num_experts) == (1024, True, data["num_experts"])


def test_the_page_of_models_is_current() -> None:
    assert model_table.PAGE.read_text() == model_table.page(), "run `python -m tests.model_table`"


def test_engines_are_those_of_the_wheels() -> None:
    transformers()
    assert engines.ENGINES.read_text() == engines.written(), "run `python -m tests.engines`"
