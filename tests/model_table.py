"""docs/models.md, from the families' own parts and classes: `python -m tests.model_table` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compiler.blocks.stack import stack
from compiler.config.families.table import CORE, FAMILIES, LIKE, NAMED
from compiler.config.hf import DEFAULTS, described
from compiler.frameworks.megatron import hybrid
from compiler.specs.model import Model
from tests.engines import ENGINES

PAGE = Path(__file__).parents[1] / "docs" / "models.md"

PARTS = """
Files of several parts whose language model is one of these families, or of any: {names}; and others that describe it under `text_config`.
"""

TITLES = {"vllm": "vLLM", "sglang": "SGLang"}

NEEDED: dict[str, dict[str, Any]] = {
    "bailing_moe": {"num_experts": 256, "num_shared_experts": 1},
    "bailing_moe_v2": {"num_experts": 256, "num_shared_experts": 1},
    "chatglm": {"num_layers": 40, "ffn_hidden_size": 13696, "padded_vocab_size": 151552},
    "nemotron-nas": {"block_configs": [{"attention": {"n_heads_in_group": 8}, "ffn": {"ffn_mult": 2.625}}] * 32},
    "step3_text": {
        "num_hidden_layers": 61,
        "intermediate_size": 18432,
        "num_attention_groups": 1,
        "head_dim": 256,
        "share_q_dim": 2048,
        "moe_num_experts": 48,
        "moe_top_k": 3,
        "moe_intermediate_size": 5120,
        "share_expert_dim": 5120,
    },
    "telechat2": {"n_layer": 30, "n_head": 32, "ffn_hidden_size": 12288},
    "deepseek": {"num_experts_per_tok": 6},
    "deepseek_v2": {"num_experts_per_tok": 6},
    "dots1": {"n_routed_experts": 128, "num_experts_per_tok": 6, "n_shared_experts": 2},
}
"""What a class leaves open."""

HEAD = """# Models

A model is a list of layers, each a tuple of blocks, and each block of a kind (`compiler/blocks/`). `model.hf_config=PATH` reads the
`config.json` of {count} values of `model_type`, also where a file of several parts describes its language model under `text_config`. A key that
the file leaves out is its configuration class's in transformers 5.24, and listed under `assumed`; towers that read images or sound are declared
apart (`model.towers`) and counted in a server's memory alone.

Layers: kinds of a model with the class's own sizes; a file may have others. Trains: what Megatron-LM 0.19.2 can be told of all of its layers
(warnings say what gets lost of other keys); torchtitan and MaxText train the models that they register. Serves: engines whose release has an
implementation of its own (vLLM 0.33.0, SGLang 0.5.23); others may run it by transformers. `python -m tests.model_table` writes this page.

| model_type | layers | trains with | serves with |
|---|---|---|---|
"""


def model(kind: str) -> Model:
    """A model of the class's own sizes."""
    known = json.loads(DEFAULTS.read_text())
    name = NAMED.get(kind, kind)
    said = known.get(kind) or known.get(name) or known[LIKE.get(name, "llama")]
    aliases = {key: other for key, other in said.get("aliases", {}).items() if key in CORE}
    names = {*CORE, *aliases.values(), "num_layers"}
    core = {key: value for key, value in said["defaults"].items() if key in names}
    return described(
        "config.json", "config.json", {**core, **NEEDED.get(kind, {}), "model_type": kind if kind in known else name}
    )


def kinds(found: Model) -> list[str]:
    return sorted({block.kind.replace("_", " ") for layer in stack(found).layers for block in layer})


def row(kind: str, engines: list[str]) -> str:
    found = model(kind)
    kept = {"blocks", "layer_types", "index_topk"}.isdisjoint(key for key, *_ in hybrid.lost(found))
    trains = "Megatron" if kept else ""
    serves = ", ".join(TITLES[engine] for engine in engines)
    return f"| {kind} | {', '.join(kinds(found))} | {trains} | {serves} |"


def several() -> list[str]:
    """model_types of transformers whose file describes a language model of a family beside other parts, or one of any family."""
    found = json.loads(DEFAULTS.read_text())["wrappers"]
    return sorted(name for name, said in found.items() if said["text"] in (None, *FAMILIES, *NAMED))


def page() -> str:
    engines = json.loads(ENGINES.read_text())
    rows = [row(kind, engines.get(kind, [])) for kind in sorted({*FAMILIES, *NAMED})]
    return HEAD.format(count=len(rows)) + "\n".join(rows) + "\n" + PARTS.format(names=", ".join(several()))


if __name__ == "__main__":
    PAGE.write_text(page())
