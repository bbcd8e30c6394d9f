"""Which engine reads which family, by the engines' own registries in their wheels: `python -m tests.engines` writes it anew."""

from __future__ import annotations

import json
import re

from compiler.config.families.table import FAMILIES, NAMED
from compiler.config.hf import DEFAULTS
from compiler.frameworks.lifted import Source
from tests.families import classes
from tests.wheels import wheel

ENGINES = DEFAULTS.with_name("engines.json")

REMOTE = {
    "baichuan": "BaichuanForCausalLM",
    "bailing_moe": "BailingMoeForCausalLM",
    "bailing_moe_v2": "BailingMoeV2ForCausalLM",
    "chatglm": "ChatGLMModel",
    "grok-1": "Grok1ForCausalLM",
    "mimo_v2": "MiMoV2ForCausalLM",
    "nemotron-nas": "DeciLMForCausalLM",
    "step3_text": "Step3TextForCausalLM",
    "step3p5": "Step3p5ForCausalLM",
    "telechat2": "TeleChat2ForCausalLM",
    "deepseek": "DeepseekForCausalLM",
    "internlm2": "InternLM2ForCausalLM",
    "kimi_k2": "DeepseekV3ForCausalLM",
    "kimi_k25": "KimiK25ForConditionalGeneration",
    "mimo": "MiMoForCausalLM",
    "minicpm": "MiniCPMForCausalLM",
    "minimax_m3": "MiniMaxM3SparseForCausalLM",
    "minimax_text_01": "MiniMaxText01ForCausalLM",
    "phimoe": "PhiMoEForCausalLM",
    "orion": "OrionForCausalLM",
    "qwen": "QWenLMHeadModel",
    "solar": "SolarForCausalLM",
    "telechat3": "TeleChat3ForCausalLM",
    "xverse": "XverseForCausalLM",
}
"""What files whose class transformers does not have call it."""


def registered() -> dict[str, set[str]]:
    """Engine -> names of classes that it has an implementation of its own of."""
    vllm = Source("vllm", wheel("vllm", "0.33.0")).text("model_executor/models/registry.py")
    sglang = Source("sglang", wheel("sglang", "0.5.23"))
    files = [sglang.text(path) for path in sglang.names("srt/models")]
    entries = {
        name
        for text in files
        for line in re.findall(r"^EntryClass\s*=(.*?)(?:^\S|\Z)", text, re.DOTALL | re.MULTILINE)
        for name in re.findall(r"\w+", line)
    }
    return {"vllm": {*re.findall(r'"(\w+)": \(', vllm)}, "sglang": entries}


def serving() -> dict[str, list[str]]:
    """model_type -> engines."""
    names, engines = {**classes(), **REMOTE}, registered()
    kinds = sorted({*FAMILIES, *NAMED})
    names |= {
        kind: names[kind.removesuffix("_text")]
        for kind in kinds
        if kind.removesuffix("_text") in names and kind not in names
    }
    return {kind: [engine for engine, known in engines.items() if names.get(kind) in known] for kind in kinds}


def written() -> str:
    lines = [f" {json.dumps(kind)}: {json.dumps(engines)}" for kind, engines in serving().items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    ENGINES.write_text(written())
