"""Configurations that rules are tried on, and all checks of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler import invariants
from compiler.checks import Check
from compiler.frameworks.lay_out import lay_out
from compiler.specs.config import Config
from tests.checks import by_id
from tests.configs import composed
from tests.costed import cost

Case = tuple[str, Config, Mapping[str, Any], str, str, str]
"""Rule, a configuration, what is changed, status, parts of the message and of the fix."""

STRATEGY = composed()
TRAIN = composed("workload=train")
MIXTRAL = composed("model=mixtral_8x7b", "parallel=ep8_tp4_pp4_dp8", "workload.global_batch_size=1024")
DEEPSEEK = composed("model=deepseek_v3", "parallel=ep64_tp1_pp1_dp16", "workload.global_batch_size=1024")
HYBRID = composed("model=qwen3_next_80b_a3b", "parallel=ep8_tp1_dp128")
COMPRESSED = composed("model=deepseek_v4_flash", "parallel=ep8_tp1_dp128")
DENSE = composed("model=llama3_1_8b", "parallel=tp8_pp4_adp32")


def checks(config: Config) -> dict[str, Check]:
    """All checks of a configuration by id; the worst of those with one id."""
    found = list(invariants.declared(config))
    if not any(check.id in invariants.BLOCKING and check.status == "fail" for check in found):
        world = lay_out(config)
        found += [*invariants.laid_out(world), *invariants.costed(world, cost(world))]
    return by_id(found)
