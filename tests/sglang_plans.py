"""Random plans that SGLang's resolver is asked about."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compiler.passes import holds
from compiler.specs.config import Config
from tests.configs import changed, composed

HARDWARE = ("h200", "b200")


def _base(model: str, hardware: str) -> Config:
    return composed(
        "framework=sglang", f"model={model}", f"hardware={hardware}", "framework.args=['--model-path','/m']"
    )


LATENT: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "DeepSeek V3": ("deepseek_v3", {}),
    "Kimi K2": ("kimi_k2", {}),
    "DeepSeek V2": ("kimi_k2", {"model.architectures": ["DeepseekV2ForCausalLM"]}),
    "DeepSeek V3.2": ("deepseek_v3", {"model.index_topk": 2048, "model.architectures": ["DeepseekV32ForCausalLM"]}),
    "GLM 5": ("kimi_k2", {"model.index_topk": 2048, "model.architectures": ["GlmMoeDsaForCausalLM"]}),
}
"""Models with latent attention, with and without an indexer: a model's file, and what is changed of it."""

OTHERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    name: (name, {})
    for name in (
        "qwen3_30b_a3b qwen3_235b_a22b mixtral_8x7b mixtral_8x22b gpt_oss_120b llama3_1_8b llama3_1_70b llama3_1_405b".split()
    )
}


def context(seed: int) -> Config:
    """A plan of latent attention with context parallelism; half of them as SGLang will have it."""
    chance = random.Random(seed)
    model, changes = LATENT[chance.choice(list(LATENT))]
    kind = chance.random() < 0.5
    cp, pp = chance.choice((2, 4, 8)), chance.choice((1, 1, 1, 2))
    tp, adp = (1, chance.choice((1, 1, 2, 4))) if kind else (chance.choice((1, 2, 4)), chance.choice((1, 2, 4)))
    width = tp * cp * adp
    ep = width if kind else chance.choice([size for size in (1, 2, 4, 8, 16) if width % size == 0])
    args = chance.choice(
        ([], [], ["--moe-dense-tp-size", "1"], ["--moe-a2a-backend", chance.choice(("deepep", "nixl"))])
    )
    args += chance.choice(([], [], [], ["--cp-strategy=zigzag"]))
    return _plan(chance, model, changes, {"tp": tp, "cp": cp, "adp": adp, "pp": pp, "ep": ep, "etp": width // ep}, args)


def served(seed: int) -> Config:
    """A plan of any kind without context parallelism, or with it where no model has overrides of it."""
    chance = random.Random(seed)
    models = {**LATENT, **OTHERS}
    name = list(models)[seed % len(models)]
    model, changes = models[name]
    dense = model.startswith("llama")
    tp, pp = chance.choice((1, 2, 4, 8)), chance.choice((1, 1, 2))
    adp = 1 if dense else chance.choice((1, 2, 4, 8))
    cp = chance.choice((1, 1, 1, 2)) if name in OTHERS else 1
    width = tp * adp * cp
    ep = 1 if dense else chance.choice([size for size in (1, 2, 4, 8, 16, 32, 64) if width % size == 0])
    degrees = {"tp": tp, "cp": cp, "adp": adp, "pp": pp, "ep": ep, "etp": None if dense else width // ep}
    return _plan(
        chance, model, changes, degrees, chance.choice(([], [], ["--moe-a2a-backend=mooncake"])) if not dense else []
    )


def _plan(
    chance: random.Random, model: str, changes: Mapping[str, Any], degrees: Mapping[str, int | None], args: list[str]
) -> Config:
    base = _base(model, chance.choice(HARDWARE))
    ranks = (degrees["tp"] or 1) * (degrees["cp"] or 1) * (degrees["adp"] or 1) * (degrees["pp"] or 1)
    drafts = bool(base.model.num_nextn_predict_layers) and degrees["pp"] == 1 and chance.random() < 0.3
    return changed(
        base,
        {
            **changes,
            "parallel.dp": None,
            **{f"parallel.{name}": size for name, size in degrees.items()},
            "hardware.nodes": -(-ranks // 8),
            "workload.global_batch_size": 64,
            "workload.prefill_chunk": chance.choice((None, None, 1024, 4096, 1000)),
            "workload.kv_cache_precision": chance.choice((None, None, "fp8", "bf16")),
            "workload.draft_tokens": 2 * drafts,
            "framework.args": [*base.framework.args, *args],
        },
    )


def told(config: Config) -> Config:
    """As the command line reads it."""
    from compiler.frameworks.adapter import adapter

    return adapter(config.framework.name).told(config)


def accepted(draw: Callable[[int], Config], count: int) -> Iterator[Config]:
    """So many of the plans of seeds 0, 1, ... that break no declared rule."""
    seed = 0
    while count:
        config = told(draw(seed))
        seed += 1
        if holds(config):
            count -= 1
            yield config
