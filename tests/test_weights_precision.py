"""A precision beside a checkpoint that brings its own, on GPUs and servers that may not have its units."""

from __future__ import annotations

from typing import Any

import pytest

from compiler import CompilerError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from tests.configs import changed, composed
from tests.test_weights import plan


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("{gate: {scheme: int4, bits: 4}}", "model.quantization.weights.gate is not a class of weights ; write one of emb"),
        ("{mlp: 4}", "model.quantization.weights.mlp=4 is no form ; write {scheme: int4, bits: 4.5}"),
        ("{mlp: {scheme: int4}}", "model.quantization.weights.mlp.bits has no value ; write bits: ..."),
        ("{mlp: {scheme: int4, bits: 0}}", "model.quantization.weights.mlp.bits=0.0 is below 0.25"),
        ("{mlp: {scheme: int4, bits: 4, activations: int2}}", "activations=int2 is not a known value"),
    ],
)  # fmt: skip
def test_forms_that_are_none(weights: str, message: str) -> None:
    with pytest.raises(CompilerError) as caught:
        plan("model=llama3_1_8b", f"model.quantization={{method: x, weights: {weights}}}")
    assert message in str(caught.value)


def warned(found: dict[str, Any], name: str) -> list[str]:
    return [item["message"] for item in found["checks"] if item["id"] == name and item["status"] == "warn"]


def test_a_precision_beside_a_checkpoint_of_its_own() -> None:
    tp8 = ("model=deepseek_v3", "parallel=tp8_adp1_ep8_etp1")
    own, wide, other = (plan(*tp8, *more) for more in ((), ("workload.precision=bf16",), ("workload.precision=nvfp4",)))
    assert warned(own, "checkpoint-precision") == []
    assert own["memory"]["weights_bytes"] == wide["memory"]["weights_bytes"]
    assert "weights as it stores them, activations in bf16" in warned(wide, "checkpoint-precision")[0]
    assert other["memory"]["weights_bytes"] == pytest.approx(0.5625 * own["memory"]["weights_bytes"], rel=0.02)
    assert "another checkpoint, of nvfp4 weights" in warned(other, "checkpoint-precision")[0]


def refused(*overrides: str) -> str:
    with pytest.raises(CompilerError) as caught:
        plan(*overrides)
    return str(caught.value)


def test_units_that_a_gpu_has_not() -> None:
    a100 = ("model=llama3_1_8b", "hardware=a100_80gb", "parallel=tp8", "workload.precision=fp8")
    for framework in ("vllm", "sglang", "none"):
        found = plan(*a100, f"framework={framework}")
        assert "has no units for fp8" in warned(found, "precision-units")[0]
    assert "and tensorrt_llm needs them ; take hardware" in refused(*a100, "framework=tensorrt_llm")
    train = ("workload=train", "framework=megatron", "parallel=tp8", "model=llama3_1_8b", "hardware=h200")
    assert "has no units for mxfp8" in refused(*train, "hardware.nodes=1", "workload.precision=mxfp8")


def arguments(framework: str, values: dict[str, Any], model: str = "model=llama3_1_8b") -> list[str]:
    config = changed(composed(f"framework={framework}", model, "parallel=tp8", "hardware.nodes=1"), values)
    return [str(word) for word in adapter(framework).emission(lay_out(config)).arguments]


@pytest.mark.parametrize("framework", ["vllm", "sglang"])
def test_a_quantised_checkpoint_is_told_of_its_activations_alone(framework: str) -> None:
    words = arguments(framework, {}, "model=gpt_oss_120b")
    assert "--dtype=bfloat16" in words
    for precision, model in (("fp8", "deepseek_v3"), ("nvfp4", "deepseek_v3"), ("fp8", "gpt_oss_120b")):
        words = arguments(framework, {"workload.precision": precision}, f"model={model}")
        assert not [word for word in words if word.startswith("--quantization")]
    assert "--dtype=bfloat16" in arguments(framework, {}, "model=deepseek_v3")
    assert "--quantization=fp8" in arguments(framework, {"workload.precision": "fp8"})


def failing(framework: str, *overrides: str) -> str:
    return refused("model=gpt_oss_120b", "parallel=tp8_adp1_ep8_etp1", f"framework={framework}", *overrides)


def test_methods_that_a_server_does_not_load() -> None:
    told = "framework.args=[/w]"
    method = "model.quantization.method"
    assert "vLLM 0.33.0 loads no checkpoint of bitsandbytes" in failing("vllm", f"{method}=bitsandbytes", told)
    assert "SGLang 0.5.23 loads no checkpoint of torchao" in failing("sglang", f"{method}=torchao")
    assert "with activations in bf16, and they would be in fp16" in failing("vllm", "workload.precision=fp16", told)
    three = ("model.quantization.weights.experts.scheme=int3", f"{method}=gptq")
    assert "kernels for gptq weights of 4 or 8 bits, and the checkpoint has int3" in failing("vllm", *three)
    assert "refuses --quantization=fp8 beside it" in failing("vllm", "framework.args=[/w,'--quantization=fp8']")
