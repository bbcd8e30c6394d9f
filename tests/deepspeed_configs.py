"""Configurations for DeepSpeed, and what its adapter says against them."""

from __future__ import annotations

from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from compiler.specs.config import Config
from tests.checks import by_id
from tests.configs import changed, composed

DEEPSPEED = (
    "framework=deepspeed",
    "workload=train",
    "workload.sequence_parallel=false",
    "launch.command=[python3,t.py]",
)
TRAIN = composed(*DEEPSPEED)
WHOLE = changed(TRAIN, {"framework.expert_layout": "contiguous", "parallel.etp": 1})
FOLDED = changed(
    TRAIN,
    {"framework.expert_layout": "autoep", "parallel.etp": 1, "parallel.pp": 1, "parallel.dp": 16},
)
DENSE = composed(*DEEPSPEED, "model=llama3_1_8b", "parallel=tp8_pp4_adp32")
ULYSSES = composed(*DEEPSPEED, "model=llama3_1_8b", "parallel=cp4_adp16", "hardware.nodes=8")
SERVE = composed("framework=deepspeed")


def checks(config: Config) -> dict[str, Check]:
    """Our checks by id; the worst of those with one id."""
    found = adapter("deepspeed").declared(config)
    return by_id(item for item in found if item.id.startswith(("deepspeed-", "framework-")))
