"""Configurations for Megatron, and what its adapter says of them."""

from __future__ import annotations

from typing import Any

from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from compiler.frameworks.emission import Emission
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.megatron import options
from compiler.specs.config import Config
from tests.checks import by_id
from tests.configs import changed, composed

TRAIN = composed("framework=megatron", "workload=train")
DENSE = composed("framework=megatron", "workload=train", "model=llama3_1_8b", "parallel=tp4_cp2_pp4_adp32")
SERVE = composed("framework=megatron")
MAPPED = {"parallel.order": "tp-cp-ep-pp-dp"}


def checks(config: Config) -> dict[str, Check]:
    """Megatron's own checks of a plan by id, the worst of each."""
    rules = adapter("megatron")
    return by_id([*rules.declared(config), *rules.laid_out(lay_out(config))])


def emitted(config: Config) -> Emission:
    return adapter("megatron").emission(lay_out(config))


def words(config: Config) -> dict[str, tuple[str, ...]]:
    """Option -> values of what a plan emits."""
    texts = [item if isinstance(item, str) else item.text for item in emitted(config).arguments]
    return options.given(changed(config, {"framework.args": texts}))


def args(*given: str) -> dict[str, Any]:
    return {"framework.args": list(given)}
