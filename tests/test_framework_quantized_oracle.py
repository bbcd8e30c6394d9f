"""What is emitted for quantised checkpoints, held against vLLM's and SGLang's own model-config classes, out of their wheels."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from compiler.config.hf import read
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.lifted import Silent, Source
from compiler.frameworks.options import options
from compiler.frameworks.versions import version
from compiler.specs.config import Config
from compiler.specs.weights import Quantization, Stored
from tests.configs import changed, composed
from tests.wheels import wheel

FP8 = Stored("fp8", 8.002, "fp8", [128, 128])
CHECKPOINTS: dict[str, tuple[str, Quantization, str]] = {
    "fp8 block": ("fp8", Quantization("fp8", {"attention": FP8, "mlp": FP8}), "deepseek-ai/DeepSeek-V3"),
    "mxfp4": ("mxfp4", Quantization("mxfp4", {"experts": Stored("mxfp4", 4.25)}), "openai/gpt-oss-120b"),
    "nvfp4": ("modelopt", Quantization("modelopt", {"mlp": Stored("nvfp4", 4.5, "nvfp4")}), "nvidia/DeepSeek-V3.1-NVFP4"),
    "awq": ("awq", Quantization("awq", {"mlp": Stored("int4", 4.15625)}), "Qwen/Qwen3-32B-AWQ"),
    "compressed-tensors": ("compressed-tensors", Quantization("compressed-tensors", {"mlp": FP8}), "moonshotai/Kimi-K2.5"),
    "bf16": ("", Quantization(), "meta-llama/Llama-3.1-8B"),
}  # fmt: skip
"""What a `quantization_config` calls its method, how it is read, and a checkpoint of the kind."""

VLLM_CLASSES = {
    "fp8": ("fp8.py", "Fp8Config"),
    "mxfp4": ("mxfp4.py", "Mxfp4Config"),
    "modelopt": ("modelopt.py", "ModelOptNvFp4Config"),
    "awq": ("auto_awq.py", "AutoAWQConfig"),
    "compressed-tensors": ("compressed_tensors/compressed_tensors.py", "CompressedTensorsConfig"),
}
SGLANG_CLASSES = {
    "fp8": ("fp8.py", "Fp8Config"),
    "mxfp4": ("mxfp4.py", "Mxfp4Config"),
    "modelopt": ("modelopt_quant.py", "ModelOptFp4Config"),
    "awq": ("awq/awq.py", "AWQMarlinConfig"),
    "compressed-tensors": ("compressed_tensors/compressed_tensors.py", "CompressedTensorsConfig"),
}


def config(framework: str, quantization: Quantization, precision: str | None = None) -> Config:
    base = composed(f"framework={framework}", "model=llama3_1_8b", "parallel=tp8", "hardware.nodes=1", "hardware=b200")
    base = changed(base, {"model.quantization": quantization})
    return changed(base, {"workload.precision": precision or base.model.precision})


def said(found: Config) -> tuple[str | None, str]:
    """`--quantization` and `--dtype` of what is emitted."""
    words = [word for word in adapter(found.framework.name).emission(lay_out(found)).arguments if isinstance(word, str)]
    given = options(words, {})
    return given.get("--quantization"), given["--dtype"]


def literal(source: Source, path: str, name: str) -> list[str]:
    """The words of an assignment: of a Literal, or the keys of a dictionary, further ones of `.update` among them."""
    words: list[str] = []
    for node in ast.walk(source.tree(path)):
        named = isinstance(node, (ast.Assign, ast.AnnAssign)) and name in ast.unparse(node).split("=", 1)[0]
        updated = isinstance(node, ast.Call) and ast.unparse(node.func) == f"{name}.update"
        if named or updated:
            words += [
                item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str)
            ]
    return words


def verify(source: Source, method: str, asked: str | None, known: list[str]) -> None:
    """`ModelConfig._verify_quantization` of either, with what a config.json says. Raises ValueError."""
    plain = SimpleNamespace(override_quantization_method=lambda *_, **__: None)
    vllm = source.package == "vllm"
    quant = SimpleNamespace(
        QUANTIZATION_METHODS=known,
        QuantizationMethods=None,
        DEPRECATED_QUANTIZATION_METHODS=["fbgemm_fp8", "fp_quant"],
        get_quantization_config=lambda _: plain,
    )
    given: dict[str, Any] = {"logger": Silent(), "cast": lambda _, value: value, "get_args": get_args}
    given |= {"me_quant": quant, "current_platform": Silent()} if vllm else {}
    given |= {} if vllm else {"QUANTIZATION_METHODS": dict.fromkeys(known, plain), "REQUANTIZATION_METHODS": []}
    given |= {} if vllm else {"is_hip": lambda: False, "get_platform": lambda: SimpleNamespace(is_sm100=True)}
    path = "config/model.py" if vllm else "srt/configs/model_config.py"
    run = source.lift(path, "ModelConfig._verify_quantization", **given)._verify_quantization
    found = {"quant_method": method} if method else None
    this = SimpleNamespace(
        quantization=asked,
        model_arch_config=SimpleNamespace(quantization_config=found),
        hf_config=None,
        allow_deprecated_quantization=False,
        is_draft_model=False,
        _parse_quant_hf_config=lambda: found,
        _find_quant_modelslim_config=lambda: None,
    )
    run(this)
    assert this.quantization == (method or None)


def sources() -> list[tuple[Source, list[str], dict[str, tuple[str, str]], str]]:
    pytest.importorskip("torch")
    vllm, sglang = Source("vllm", wheel("vllm", "0.33.0")), Source("sglang", wheel("sglang", "0.5.23"))
    layers, srt = "model_executor/layers/quantization", "srt/layers/quantization"
    return [
        (vllm, literal(vllm, f"{layers}/__init__.py", "QuantizationMethods"), VLLM_CLASSES, layers),
        (sglang, literal(sglang, f"{srt}/__init__.py", "BASE_QUANTIZATION_METHODS"), SGLANG_CLASSES, srt),
    ]


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_what_is_emitted_for_real_checkpoints_is_accepted(kind: str) -> None:
    import torch

    method, quantization, _ = CHECKPOINTS[kind]
    for source, known, classes, folder in sources():
        found = config(source.package, quantization)
        assert [item for item in adapter(source.package).declared(found) if item.status == "fail"] == []
        asked, dtype = said(found)
        verify(source, method, asked, known)
        if method:
            path, owner = classes[method]
            types = source.lift(f"{folder}/{path}", f"{owner}.get_supported_act_dtypes", torch=torch).space
            space = types["get_supported_act_dtypes"]
            assert getattr(torch, dtype) in (space(None) if space.__code__.co_argcount else space())


@pytest.mark.parametrize(("method", "asked"), [("awq", "fp8"), ("compressed-tensors", "fp8")])
def test_what_we_refuse_they_refuse(method: str, asked: str) -> None:
    for source, known, _, _ in sources():
        with pytest.raises(ValueError, match="does not match the quantization"):
            verify(source, method, asked, known)
        found = config(source.package, CHECKPOINTS[method][1])
        ours = adapter(source.package).declared(changed(found, {"framework.args": ["--quantization=fp8"]}))
        assert [item.id for item in ours if item.status == "fail"] == [f"{source.package}-quantization-flag"]


def test_methods_are_those_of_the_wheels() -> None:
    for source, known, _, _ in sources():
        facts = version(config(source.package, Quantization())).facts
        extra = {"auto-round", "gptq"}  # overridden to inc, and to gptq_marlin
        assert set(facts["quantizations"]) - extra <= set(known)


def test_kinds_are_read_from_files_as_here() -> None:
    data = Path(__file__).parent / "data" / "hf"
    assert read(str(data / "deepseek_v3.json")).quantization.method == "fp8"
    assert read(str(data / "gpt_oss.json")).quantization.method == "mxfp4"
    assert read(str(data / "kimi_k25.json")).quantization.method == "compressed-tensors"
