"""Blocks of weights that share a scale, cut over ranks: our rule, held against vLLM's and SGLang's own validators."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest

from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lifted import Silent, Source
from compiler.frameworks.sglang.contexts import forced
from compiler.specs.config import Config
from compiler.specs.weights import Quantization, Stored
from tests.configs import changed, composed
from tests.wheels import wheel

FP8 = Stored("fp8", 8.002, "fp8", [128, 128])
GROUPS = Stored("int4", 4.25, None, [1, 64])
KINDS = ("attention", "mlp", "shared_experts", "experts")
QWEN = {"hardware.nodes": 8, "parallel.etp": None, "workload.global_batch_size": 64}


def config(
    framework: str, method: str = "fp8", form: Stored = FP8, kinds: tuple[str, ...] = KINDS, **model: Any
) -> Config:
    base = composed(f"framework={framework}", "model=qwen3_30b_a3b", "parallel=tp4", "hardware=h100_80gb")
    values: dict[str, Any] = {f"model.{key}": value for key, value in model.items()}
    values |= {"model.quantization": Quantization(method, dict.fromkeys(kinds, form)), "workload.precision": "bf16"}
    return changed(base, {**values, "hardware.nodes": 1, "parallel.etp": None, "model.declared.params": None})


def found(config: Config) -> dict[str, Check]:
    name = f"{config.framework.name}-weight-blocks-"
    return {
        c.id.removeprefix(name): c for c in adapter(config.framework.name).declared(config) if c.id.startswith(name)
    }


def experts(framework: str, size: int, etp: int, method: str = "fp8", form: Stored = FP8) -> Check:
    base = config(framework, method, form, ("experts",), moe_intermediate_size=size)
    return found(changed(base, {"parallel.tp": etp}))["experts"]


@pytest.mark.parametrize(
    ("framework", "size", "etp", "status", "message"),
    [
        ("sglang", 1536, 4, "pass", ""),
        ("sglang", 1536, 8, "fail", "moe_intermediate_size 1536 over etp=8 is 192, no multiple of 128"),
        ("sglang", 1344, 1, "fail", "over etp=1 is 1344, no multiple of 128"),
        ("vllm", 1536, 8, "warn", "is 192, no multiple of 128; scales are repeated for blocks of 64"),
        ("vllm", 768, 16, "fail", "is 48, no multiple of 128 nor of a block of 32 or more"),
        ("tensorrt_llm", 1536, 8, "warn", "is 192, no multiple of 128, and ranks would share a scale"),
    ],
)
def test_experts_are_cut_by_each_engines_own_rule(
    framework: str, size: int, etp: int, status: str, message: str
) -> None:
    check = experts(framework, size, etp)
    assert (check.status, message in check.message) == (status, True), check.message


def test_the_fix_names_cuts_that_hold_whole_blocks() -> None:
    assert experts("sglang", 1536, 8).fix == "write parallel.etp=4 with a larger ep, or tp4"
    assert (
        found(config("vllm", num_attention_heads=32, head_dim=64, moe_intermediate_size=1536))["attention"].status
        == "pass"
    )
    narrow = changed(config("vllm", num_attention_heads=32, head_dim=64), {"parallel.tp": 32})
    assert found(narrow)["attention"].fix == "write tp16 or less, with adp or pp for the other ranks"


@pytest.mark.parametrize("framework", ["vllm", "sglang"])
@pytest.mark.parametrize(("method", "status"), [("awq", "warn"), ("gptq", "warn"), ("compressed-tensors", "fail")])
def test_groups_of_integers_are_halved_or_refused(framework: str, method: str, status: str) -> None:
    """moe_wna16 halves a group down to 32; compressed-tensors' experts want whole ones."""
    assert experts(framework, 768, 8, method, GROUPS).status == status
    assert experts(framework, 768, 4, method, GROUPS).status == "pass"


def test_what_is_not_stored_in_blocks_is_not_asked() -> None:
    assert found(config("sglang", form=Stored("fp8", 8.0, "fp8"))) == {}
    assert "mlp" not in found(config("sglang", kinds=("experts",)))
    wide = changed(config("sglang"), {"workload.precision": "nvfp4"})
    assert found(wide) == {}  # another checkpoint


def test_a_stage_of_sglang_shares_mlps_unless_each_rank_has_them() -> None:
    base = changed(
        config("sglang", intermediate_size=6144, first_k_dense_replace=3),
        {"parallel.tp": 2, "parallel.adp": 32, "parallel.etp": 1, "parallel.ep": 64, "parallel.dp": None},
    )
    assert found(base)["mlp"].status == "fail"
    assert "mlp" in found(changed(base, {"framework.args": ["--moe-dense-tp-size=1"]}))
    assert found(changed(base, {"framework.args": ["--moe-dense-tp-size=1"]}))["mlp"].status == "pass"


def test_a_stage_of_attention_dp_alone_has_whole_mlps_where_a_block_would_be_cut() -> None:
    """As 102 of 291 published recipes of such stages write it; shared experts want an all-to-all back end for it."""
    size = ("hardware=h200", "hardware.nodes=4", "framework=sglang", "parallel=adp32_ep32_etp1")
    v3 = composed("model=deepseek_v3", *size)
    assert forced(v3) == {"--moe-dense-tp-size": "1"}
    assert found(v3)["shared-experts"].fix.startswith("add --moe-a2a-backend=deepep to framework.args")
    whole = changed(v3, {"framework.args": ["--moe-a2a-backend=deepep"]})
    assert {item.status for item in found(whole).values()} == {"pass"}
    assert forced(changed(v3, {"framework.args": ["--moe-dense-tp-size=32"]})) == {}
    assert forced(changed(v3, {"parallel.adp": 16, "parallel.ep": 16, "hardware.nodes": 2})) == {}


def _refused(call: Any, *args: Any, **kwargs: Any) -> bool:
    try:
        call(*args, **kwargs)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("release", ["0.5.23", "0.5.21"])
def test_sglang_refuses_what_we_do(release: str) -> None:
    """Attention and dense MLPs, whose shapes its FP8 method validates."""
    source, ranks = Source("sglang", wheel("sglang", release)), SimpleNamespace(tp_size=1)
    validate = source.lift(
        "srt/layers/quantization/fp8.py",
        "Fp8LinearMethod.validate_block_quant_shapes",
        print_warning_once=Silent(),
        get_parallel=lambda: ranks,
    ).validate_block_quant_shapes
    quant = SimpleNamespace(weight_block_size=[128, 128])
    seen = set()
    for tp, head, ffn in itertools.product((1, 2, 4, 8, 16), (64, 128, 192), (1536, 6144, 9728)):
        base = config("sglang", head_dim=head, num_attention_heads=32, num_key_value_heads=4, intermediate_size=ffn)
        plan = changed(base, {"parallel.tp": tp, "model.first_k_dense_replace": 1, "framework.version": release})
        ranks.tp_size = tp  # 0.5.21 asks the stage, later ones the layer
        layer = [SimpleNamespace(tp_group=SimpleNamespace(world_size=tp))] * (release != "0.5.21")
        queries, keys = 32 * head // tp, max(4 // tp, 1) * head
        bad = _refused(
            validate, *layer, quant, 2048, 2048, (queries + 2 * keys) * tp, queries + 2 * keys, [queries, keys, keys]
        )
        bad = bad or _refused(validate, *layer, quant, 32 * head, queries, 2048, 2048, [2048])
        assert (found(plan)["attention"].status == "fail") == bad, (tp, head)
        mlp = _refused(validate, *layer, quant, 2048, 2048, 2 * ffn, 2 * ffn // tp, [ffn // tp] * 2)
        mlp = mlp or _refused(validate, *layer, quant, ffn, ffn // tp, 2048, 2048, [2048])
        if ffn % tp == 0:
            assert (found(plan)["mlp"].status == "fail") == mlp, (tp, ffn)
        seen |= {bad, mlp}
    assert seen == {True, False}


def test_vllm_refines_and_refuses_what_we_say() -> None:
    source = Source("vllm", wheel("vllm", "0.33.0"))
    path = "model_executor/layers/fused_moe/oracle/fp8.py"
    refine = source.lift(path, "refine_fp8_moe_block_shape", math=math).refine_fp8_moe_block_shape
    validate = source.lift(
        "model_executor/layers/quantization/utils/fp8_utils.py",
        "validate_fp8_block_shape_moe",
        imports={"vllm.distributed": {"get_tensor_model_parallel_world_size": lambda: 8}},
    ).validate_fp8_block_shape_moe
    seen = set()
    for size, etp in itertools.product((512, 768, 1344, 1536, 2048, 2880), (1, 2, 4, 8, 16)):
        if size % etp:
            continue
        part = SimpleNamespace(intermediate_size_per_partition=size // etp, hidden_dim=2048, tp_size=etp)
        finer = refine(part, [128, 128])
        wanted = "warn" if finer else "fail" if _refused(validate, size // etp, [128, 128]) else "pass"
        assert experts("vllm", size, etp).status == wanted, (size, etp)
        assert (experts("vllm", size, etp, "compressed-tensors").status == "pass") == (wanted == "pass")
        seen.add(wanted)
    assert seen == {"pass", "warn", "fail"}
