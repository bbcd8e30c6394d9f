"""Multiples that quantised products take in training, heads in all-to-all context parallelism: each is refused with a fix that holds."""

from __future__ import annotations

import re
from typing import Any

import pytest

from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.wheels import wheel

TRAIN = composed(
    "framework=megatron", "workload=train", "model=qwen3_30b_a3b", "parallel=tp4_adp4_ep4_etp1", "hardware=b200"
)
TRAIN = changed(TRAIN, {"workload.precision": "fp8", "workload.global_batch_size": 16, "hardware.nodes": 2})
TITAN = composed(
    "framework=torchtitan", "workload=train", "model=llama3_1_8b", "parallel=tp2_cp2_adp4", "hardware=h100_80gb"
)
TITAN = changed(TITAN, {"workload.precision": "fp8", "workload.zero_stage": 3, "hardware.nodes": 2})
DEEP = composed(
    "framework=megatron", "workload=train", "model=deepseek_v3", "parallel=tp2_cp2_adp8_ep8_etp1", "hardware=b200"
)
MXFP8 = ("--fp8-recipe", "mxfp8")


def found(config: Config) -> dict[str, Check]:
    return {check.id: check for check in adapter(config.framework.name).declared(config)}


def args(*words: str) -> dict[str, Any]:
    return {"framework.args": list(words)}


CASES: list[tuple[str, Config, dict[str, Any], str, str]] = [
    ("megatron-fp8-rows", TRAIN, {"workload.sequence_length": 4092}, "fail", "are 1023 rows a rank, no multiple of 8"),
    ("megatron-fp8-gradients", TRAIN, {"workload.sequence_length": 4072}, "fail", "are 4072 rows, no multiple of 16"),
    (
        "megatron-fp8-rows",
        TRAIN,
        {"workload.sequence_length": 31936, **args(*MXFP8)},
        "warn",
        "are 7984 rows a rank, no multiple of 32",
    ),
    ("megatron-fp8-rows", TRAIN, {"workload.sequence_length": 4100, **args(*MXFP8)}, "fail", "are 1025 rows a rank"),
    (
        "megatron-fp8-rows",
        TRAIN,
        {"workload.precision": "mxfp8", "workload.sequence_length": 4100},
        "fail",
        "mxfp8 products",
    ),
    (
        "megatron-fp8-rows",
        TRAIN,
        {"workload.precision": "fp4", "workload.sequence_length": 4104, "parallel.tp": 1},
        "fail",
        "are 4104 rows a rank, no multiple of 16, which nvfp4",
    ),
    (
        "megatron-fp8-width",
        TRAIN,
        {"model.moe_intermediate_size": 776},
        "fail",
        "776 over etp=1 is 776, no multiple of 16",
    ),
    (
        "megatron-fp8-width",
        TRAIN,
        {"parallel.etp": 4, "model.moe_intermediate_size": 704, **args(*MXFP8)},
        "fail",
        "is 176, no",
    ),
    ("megatron-fp8-width", TRAIN, {"model.hidden_size": 2040}, "fail", "hidden_size 2040"),
    (
        "megatron-fp8-width",
        DEEP,
        {"workload.precision": "fp8", "model.kv_lora_rank": 500},
        "fail",
        "kv_lora_rank + qk_rope_head_dim 564",
    ),
    (
        "megatron-fp8-width",
        changed(TRAIN, {"model.vocab_size": 151940, **args(*MXFP8, "--fp8-output-proj")}),
        args(*MXFP8, "--fp8-output-proj", "--make-vocab-size-divisible-by", "1"),
        "fail",
        "padded vocabulary 151940 over tp=4 is 37985",
    ),
    (
        "megatron-router-padding",
        changed(TRAIN, args("--moe-router-padding-for-fp8")),
        {"workload.precision": "bf16"},
        "fail",
        "pads the",
    ),
    (
        "megatron-router-padding",
        changed(TRAIN, args("--moe-router-padding-for-quantization")),
        args("--moe-router-padding-for-quantization", "--moe-token-dispatcher-type", "allgather"),
        "fail",
        "the plan has fp8 and allgather",
    ),
    (
        "megatron-cp-heads",
        changed(TRAIN, {"parallel.cp": 1, **args("--cp-comm-type", "a2a")}),
        {"parallel.cp": 8, "parallel.tp": 2},
        "fail",
        "over 8 ranks of cp, and a rank of tp=2 has 16 heads and 2 for keys and values",
    ),
    (
        "megatron-cp-heads",
        TRAIN,
        {"parallel.cp": 8, **args("--cp-comm-type", "a2a+p2p", "--hierarchical-context-parallel-sizes", "4", "2")},
        "fail",
        "over 4 ranks of cp, and a rank of tp=4 has 8 heads and 1 for",
    ),
    ("torchtitan-fp8-gradients", TITAN, {"workload.sequence_length": 4112}, "fail", "are 2056 rows, no multiple of 16"),
    (
        "torchtitan-fp8-width",
        TITAN,
        {"model.intermediate_size": 14352, "parallel.tp": 8},
        "fail",
        "intermediate_size 14352 over tp=8 is 1794, no multiple of 16",
    ),
    (
        "torchtitan-fp8-width",
        TITAN,
        {"model.intermediate_size": 14344},
        "warn",
        "is 7172, no multiple of 16, which fp8 products take; such layers stay in bf16",
    ),
]


@pytest.mark.parametrize(("name", "base", "change", "status", "message"), CASES)
def test_a_breach_is_said(name: str, base: Config, change: dict[str, Any], status: str, message: str) -> None:
    before, after = found(base).get(name), found(changed(base, change))[name]
    assert before is None or before.status == "pass"
    assert (after.status, message in after.message) == (status, True), after.message


@pytest.mark.parametrize(
    "change",
    [
        {"workload.sequence_length": 4092},
        {"workload.sequence_length": 4092, "workload.micro_batch_size": 3},
        {"workload.sequence_length": 31936, **args(*MXFP8)},
        {"workload.sequence_length": 4100, "parallel.cp": 2, **args(*MXFP8)},
        {"workload.sequence_length": 999, "parallel.tp": 1, "parallel.cp": 4},
    ],
)
def test_the_length_of_a_fix_holds(change: dict[str, Any]) -> None:
    config = changed(TRAIN, change)
    fixes = {
        c.fix for name, c in found(config).items() if name in ("megatron-fp8-rows", "megatron-fp8-gradients") and c.fix
    }
    (length,) = {int(value) for fix in fixes for value in re.findall(r"sequence_length=(\d+)", fix)}
    mended = found(changed(config, {"workload.sequence_length": length}))
    assert {mended[name].status for name in ("megatron-fp8-rows", "megatron-fp8-gradients")} == {"pass"}
    assert length % (2 * config.degrees.cp) == 0


def test_a_fix_of_heads_holds() -> None:
    config = changed(TRAIN, {"parallel.cp": 8, "parallel.tp": 2, **args("--cp-comm-type", "a2a")})
    assert found(config)["megatron-cp-heads"].fix == "leave --cp-comm-type out, or write parallel.cp=2"
    assert found(changed(config, {"parallel.cp": 2}))["megatron-cp-heads"].status == "pass"


def test_heads_of_latent_attention_are_all_of_them() -> None:
    config = changed(DEEP, {"parallel.cp": 4, **args("--cp-comm-type", "a2a")})
    assert found(config)["megatron-cp-heads"].status == "pass"


def test_wide_training_and_recipes_of_the_users_own_are_not_asked() -> None:
    assert "megatron-fp8-rows" not in found(changed(TRAIN, {"workload.precision": "bf16"}))
    assert "megatron-fp8-rows" not in found(changed(TRAIN, args("--fp8-recipe", "custom")))
    assert "megatron-cp-heads" not in found(changed(TRAIN, {"parallel.cp": 2, **args("--cp-comm-type", "p2p")}))


def test_multiples_of_megatrons_own_are_ours() -> None:
    """`get_fp8_align_size` pads the tokens of an expert to what products of a recipe take."""
    from types import SimpleNamespace

    from compiler.frameworks.lifted import Source
    from compiler.frameworks.versions import version

    source = Source("megatron", wheel("megatron_core", "0.19.2"))
    recipes = SimpleNamespace(mxfp8="mxfp8")
    align = source.lift("core/fp8_utils.py", "get_fp8_align_size", Fp8Recipe=recipes).get_fp8_align_size
    for name, row in version(TRAIN).facts["products"].items():
        if name != "nvfp4":
            assert align(name) == row["gradients"] == row["width"]
