"""Random plans of vLLM's for its resolver: dense, grouped, latent and sparse attention, on GPUs of three generations."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from compiler.frameworks.adapter import adapter
from compiler.specs.config import Config
from tests.configs import changed, composed

HF = Path(__file__).parent / "data" / "hf"
MODELS = (
    "model=llama3_1_8b",
    "model=llama3_1_70b",
    "model=qwen3_30b_a3b",
    "model=mixtral_8x7b",
    "model=gpt_oss_120b",
    "model=deepseek_v3",
    "model=kimi_k2",
    f"model.hf_config={HF / 'glm_moe_dsa.json'}",
    f"model.hf_config={HF / 'glm4_moe.json'}",
)
GPUS = ("a100_80gb", "h100_80gb", "h200", "b200", "gb200_nvl72")


def plan(seed: int) -> Config:
    """Degrees, batches and switches of a server; not all of them can be served."""
    chance = random.Random(seed)
    base = composed("framework=vllm", chance.choice(MODELS), f"hardware={chance.choice(GPUS)}", "parallel=tp8")
    model = base.model
    tp, cp, pp = (chance.choice(sizes) for sizes in ((1, 2, 4, 8), (1, 1, 1, 2, 4), (1, 1, 1, 2, 4)))
    adp = chance.choice((1, 2, 4, 8)) if model.moe else 1
    width, whole = tp * cp * adp, chance.random() < 0.8
    gpus = base.hardware.node.gpus
    role = chance.choice((None, None, "prefill", "decode"))
    drafts = chance.choice((0, 0, 1, 2, 3)) if model.num_nextn_predict_layers else 0
    values: dict[str, Any] = {
        "parallel.tp": tp,
        "parallel.cp": cp,
        "parallel.pp": pp,
        "parallel.dp": None,
        "parallel.adp": adp,
        "parallel.ep": width if model.moe and whole else 1,
        "parallel.etp": (1 if whole else width) if model.moe else None,
        "hardware.nodes": max(width * pp // gpus, 1),
        "workload.global_batch_size": adp * chance.choice((1, 8, 64, 300, 1200, 3000)),
        "workload.sequence_lengths": [chance.choice((1024, 8192, 32768, 120000))],
        "workload.output_length": chance.choice((128, 1024)),
        "workload.kv_cache_precision": chance.choice((None, None, None, "fp8", "bf16")),
        "workload.prefill_chunk": chance.choice((None, None, 2048, 16384)),
        "workload.draft_tokens": drafts,
        "workload.low_latency_dispatch": model.moe and whole and adp > 1 and chance.random() < 0.25,
        "workload.role": role,
        "framework.args": ["org/model", *_arguments(chance, tp, cp)],
    }
    if chance.random() < 0.2:
        values["workload.precision"] = chance.choice(("bf16", "fp8", "fp16"))
    return changed(base, values)


def _arguments(chance: random.Random, tp: int, cp: int) -> list[str]:
    """What a user might add."""
    found = []
    if chance.random() < 0.15:
        sizes = [size for size in (1, 2, 4, 8) if tp % size == 0] if cp == 1 else [1, cp, tp * cp]
        found += ["-dcp", str(chance.choice(sizes))]
    if chance.random() < 0.2:
        found += [
            chance.choice(("--enforce-eager", "--no-enable-prefix-caching", "--gpu-memory-utilization=0.9", "-O1"))
        ]
    if chance.random() < 0.1:
        found += ["--max-num-batched-tokens=4096"]
    return found


def refused(config: Config) -> list[str]:
    """Rules that a plan breaks, from the configuration alone."""
    return [item.id for item in adapter("vllm").declared(adapter("vllm").told(config)) if item.status == "fail"]
