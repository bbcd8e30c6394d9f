"""How checkpoints store their weights: by class and method, what is planned of it, and what is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compiler import compile_plan
from compiler.config import quantization
from compiler.config.hf import described, load, read
from compiler.config.schema import writable
from compiler.errors import ConfigError
from compiler.specs.model import Model
from tests.configs import composed

DATA = Path(__file__).parent / "data" / "hf"
DENSE = Model(num_hidden_layers=2, hidden_size=64, num_attention_heads=4, intermediate_size=128, vocab_size=256)
GROUP = {"num_bits": 4, "type": "int", "group_size": 32}


def stored(given: dict[str, Any], model: Model = DENSE) -> dict[str, tuple[float, str | None]]:
    """Class -> bits and activations, of a `quantization_config`."""
    found = quantization.read("config.json", model, {"quantization_config": given})
    return {kind: (form.bits, form.activations) for kind, form in found.weights.items()}


def both(bits: float, activations: str | None = None) -> dict[str, tuple[float, str | None]]:
    return {"attention": (bits, activations), "mlp": (bits, activations)}


def groups(*each: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {f"group_{i}": group for i, group in enumerate(each)}
    return {"quant_method": "compressed-tensors", "config_groups": named, **more}


FORMS: list[tuple[dict[str, Any], dict[str, tuple[float, str | None]]]] = [
    ({"quant_method": "fp8", "weight_block_size": [128, 128]}, both(8 + 32 / 128**2, "fp8")),
    ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["self_attn"]}, {"mlp": (8, "fp8")}),
    ({"quant_method": "mxfp8"}, both(8.25, "mxfp8")),
    ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, both(4 + 20 / 128)),
    ({"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": False}, both(4.25)),
    ({"quant_method": "gptq", "bits": 3}, both(3 + 19 / 128)),
    ({"quant_method": "gptq", "bits": 8, "group_size": -1}, both(8)),
    ({"quant_method": "gptq", "bits": 4, "dynamic": {"-:.*self_attn.*": {}, "+:.*down_proj": {"bits": 8}}}, {"mlp": (8 + 24 / 128 - 2 / 3 * (4 + 4 / 128), None)}),
    ({"quant_method": "auto-round", "bits": 4, "extra_config": {"model.layers.0.self_attn": {"bits": 16}}}, {"attention": ((4 + 20 / 128 + 16) / 2, None), "mlp": (4 + 20 / 128, None)}),
    ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, both(4.5)),
    ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, both(4 + 8.125 / 64)),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, both(8, "int8")),
    ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}, both(4.5)),
    ({"quant_method": "hqq", "quant_config": {"mlp.up_proj": {"weight_quant_params": {"nbits": 2, "group_size": 16}}}}, {"mlp": (12, None)}),
    ({"quant_method": "eetq", "weights": "int8"}, both(8)),
    ({"quant_method": "bitnet"}, both(2, "int8")),
    ({"quant_method": "bitnet", "quantization_mode": "online"}, {}),
    ({"quant_method": "fp_quant", "forward_dtype": "nvfp4"}, both(4.5, "nvfp4")),
    (groups({"weights": GROUP, "targets": ["Linear"]}), both(4.5)),
    (groups({"weights": {**GROUP, "symmetric": False}, "targets": ["Linear"]}, ignore=["re:.*self_attn.*"]), {"mlp": (4 + 20 / 32, None)}),
    (groups({"weights": {"num_bits": 8, "type": "float"}, "input_activations": {"num_bits": 8, "type": "float"}}), both(8, "fp8")),
    (groups({"weights": {"num_bits": 8, "type": "int"}, "input_activations": {"num_bits": 8}, "targets": ["Linear"]}), both(8, "int8")),
    (groups({"weights": {"num_bits": 4, "type": "float", "group_size": 16}, "targets": ["re:.*mlp.*"]}, {"weights": {"num_bits": 8, "type": "float"}, "targets": ["re:.*self_attn.*"]}), {"attention": (8, None), "mlp": (4.5, None)}),
    (groups({"weights": {"num_bits": 8, "type": "int"}, "targets": ["re:.*lm_head"]}), {"head": (8, None)}),
    (groups(kv_cache_scheme={"num_bits": 8, "type": "float"}), {}),
    ({"quant_method": "modelopt", "quant_algo": None, "kv_cache_scheme": {"num_bits": 8}}, {}),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["model.layers.0.self_attn*", "*1.self_attn*"]}, {"mlp": (4.5, "nvfp4")}),
    ({"quantization": {"quant_algo": "W4A16_AWQ", "group_size": 64}}, both(4.25)),
    ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {"model.layers.0.mlp": {"quant_algo": "FP8"}}}, {"mlp": (12, "fp8")}),
    ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}, "input_tensors": {"dtype": "fp8_e4m3"}}}, both(8, "fp8")),
    ({"quant_method": "quark", "global_quant_config": {"weight": [{"dtype": "fp8_e4m3"}, {"dtype": "int4"}], "input_tensors": {"dtype": "fp8_e4m3"}}}, both(4, "fp8")),
    ({"quant_method": "quark", "global_quant_config": {"weight": [{"dtype": "fp4", "group_size": 16}, {"dtype": "fp8_e4m3"}]}}, both(4.5)),
    ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4", "group_size": 32}}, "exclude": ["*self_attn*"]}, {"mlp": (4.25, None)}),
    ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}}}}, both(4.5)),
    ({"quant_method": "torchao", "quant_type": "float8_dynamic_activation_float8_weight"}, both(8, "fp8")),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), FORMS, ids=lambda value: json.dumps(value)[:60])
def test_every_method(given: dict[str, Any], expected: dict[str, tuple[float, str | None]]) -> None:
    found = stored(given)
    assert {kind: act for kind, (_, act) in found.items()} == {kind: act for kind, (_, act) in expected.items()}
    assert [bits for bits, _ in found.values()] == pytest.approx([expected[kind][0] for kind in found])


@pytest.mark.parametrize(
    ("given", "cache"),
    [
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}, "fp8"),
        ({"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "NVFP4"}}, "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": None, "kv_cache_scheme": {"num_bits": 8, "type": "float"}}, "fp8"),
        (groups(kv_cache_scheme={"num_bits": 8, "type": "int"}), "int8"),
        (groups(kv_cache_scheme={"num_bits": 4, "type": "float"}), "nvfp4"),
        ({"quant_method": "fp8", "kv_cache_quant_algo": "none"}, None),
        ({"quant_method": "fp8"}, None),
    ],
)
def test_the_format_of_the_cache_that_a_checkpoint_asks_for(given: dict[str, Any], cache: str | None) -> None:
    where = str(DATA / "llama.json")
    data = {**load(where, where), "quantization_config": given}
    assert described(where, where, data).quantization.kv_cache == cache


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"quant_method": "aqlm"}, "quant_method=aqlm"),
        ({"bits": 4}, "quant_method=none"),
        ({"quant_method": "mxfp4"}, "mxfp4, which quantises experts: the model has none"),
        ({"quant_method": "modelopt", "quant_algo": "W3A5"}, "quant_algo=W3A5"),
        ({"quant_method": "torchao", "quant_type": "uintx_weight_only"}, "quant_type=uintx_weight_only"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "mx6"}}}, "weight.dtype=mx6"),
        ({"quant_method": "fp_quant", "forward_dtype": "int3"}, "forward_dtype=int3"),
        (groups({"weights": GROUP}, sparsity_config={"format": "sparse-24"}), "sparsity_config.format=sparse-24"),
        ({"quant_method": "gptq"}, "quant_method=gptq with bits=None, which is not known"),
        (groups({"weights": GROUP, "targets": ["re:("]}), "compressed-tensors that cannot be read"),
    ],
)
def test_what_is_not_known_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        stored(given)
    assert named in str(caught.value)
    assert " ; take a checkpoint in another format" in str(caught.value)


def test_classes_of_a_mixture_of_experts() -> None:
    where = str(DATA / "kimi_k25.json")
    assert list(read(where).stored) == ["experts"]
    data = load(where, where)
    data["text_config"]["quantization_config"]["ignore"] = ["lm_head", "re:.*self_attn.*"]
    assert set(described(where, where, data).stored) == {"mlp", "shared_experts", "experts"}


def test_the_sidecar_of_modelopt(tmp_path: Path) -> None:
    config = json.loads((DATA / "llama.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    beside = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside))
    for path in (tmp_path, tmp_path / "config.json"):
        assert read(str(path)).precision == "nvfp4"
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "fp8"}}))
    assert read(str(tmp_path)).precision == "fp8"


def plan(*overrides: str) -> dict[str, Any]:
    fixed = ("scheduler=[]", "hardware=h200", "hardware.nodes=1", "workload.global_batch_size=8")
    return compile_plan([*fixed, "workload.sequence_lengths=[1024]", *overrides]).to_dict()


@pytest.mark.parametrize(
    ("model", "whole", "precision"),
    [
        ("model=gpt_oss_120b", 65.19e9, "bf16"),
        (f"model.hf_config={DATA / 'kimi_k25.json'}", 594.2e9, "bf16"),
        ("model=deepseek_v3", 673e9, "fp8"),
    ],
)
def test_real_checkpoints(model: str, whole: float, precision: str) -> None:
    found = compile_plan(
        [model, "scheduler=[]", "hardware=h200", "hardware.nodes=2", "parallel=tp16_adp1_ep16_etp1"]
    ).to_dict()
    assert found["params"]["weights_bytes"] == pytest.approx(whole, rel=0.01)
    assert composed(model).workload.precision == precision


def test_a_rank_holds_classes_in_their_own_widths() -> None:
    alone = ("hardware.node.gpus=1", "parallel=dp1")
    wide, narrow = (plan("model=llama3_1_8b", *alone, *more) for more in ((), (f"model.quantization={INT4}",)))
    model = composed("model=llama3_1_8b").model
    mlps = model.num_hidden_layers * 3 * model.hidden_size * model.intermediate_size
    assert wide["memory"]["weights_bytes"] - narrow["memory"]["weights_bytes"] == pytest.approx(mlps * (2 - 0.5625))
    faster = [found["projection"]["serve"]["decode"][0]["tpot_s"] for found in (wide, narrow)]
    assert faster[1] < 0.8 * faster[0]


INT4 = "{method: awq, weights: {mlp: {scheme: int4, bits: 4.5}}}"


NUMBERS: tuple[Any, ...] = (0, -1, 1.5, True, "x", [], [1], {}, {"a": 1}, float("inf"), float("nan"), 10**30)
"""What stands in a file in the place of a number that is one."""


@pytest.mark.parametrize(("method", "key"), [
    ("fp8", "weight_block_size"), ("awq", "bits"), ("awq", "group_size"), ("gptq", "bits"), ("gptq", "group_size"),
    ("gptq", "dynamic"), ("auto-round", "bits"), ("auto-round", "extra_config"), ("hqq", "quant_config"), ("modelopt", "quant_algo"),
    ("modelopt", "quantized_layers"), ("torchao", "quant_type"), ("quark", "global_quant_config"), ("quark", "layer_quant_config"),
    ("bitsandbytes", "bnb_4bit_quant_type"), ("fp8", "ignore"), ("compressed-tensors", "config_groups"),
])  # fmt: skip
def test_a_malformed_quantisation_is_read_or_refused(method: str, key: str) -> None:
    for value in NUMBERS:
        for given in (value, [value, value], {"group": value}):
            for more in ({}, {"bits": 4}):
                _read_or_refused({**more, "quant_method": method, key: given})


@pytest.mark.parametrize("key", ["num_bits", "group_size", "type", "block_structure", "symmetric"])
@pytest.mark.parametrize("kind", ["int", "float"])
def test_malformed_groups_are_read_or_refused(kind: str, key: str) -> None:
    for value in NUMBERS:
        for given in (value, [0, value], [value, 1]):
            _read_or_refused(groups({"weights": {**GROUP, "num_bits": 8, "type": kind, key: given}}))


def _read_or_refused(given: dict[str, Any]) -> None:
    """Every form that is read can be frozen, and is one."""
    try:
        found = quantization.read("config.json", DENSE, {"quantization_config": given})
    except ConfigError:
        return
    writable(found)
    assert all(0.25 <= form.bits <= 64 for form in found.weights.values())


@pytest.mark.parametrize("size", [[0, 128], [128, 0], [-1, 128], [1.5, 2]])
def test_a_block_without_rows_is_refused(size: list[float]) -> None:
    block = {"num_bits": 8, "type": "float", "block_structure": size}
    for given in ({"quant_method": "fp8", "weight_block_size": size}, groups({"weights": block})):
        with pytest.raises(ConfigError, match=r"cannot be read: ValueError a block of "):
            stored(given)


def test_methods_are_called_as_servers_call_them() -> None:
    given = {**groups({"weights": GROUP}), "quant_method": "compressed_tensors"}
    assert quantization.read("config.json", DENSE, {"quantization_config": given}).method == "compressed-tensors"


def test_messages_about_the_sidecar_name_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((DATA / "llama.json").read_text())
    beside = tmp_path / "hf_quant_config.json"
    for text, said in {"{": "is not JSON", '{"quantization": {"quant_algo": "W9"}}': "with quant_algo=W9"}.items():
        beside.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read(str(tmp_path))
        assert str(caught.value).startswith(f"{beside} ")
        assert said in str(caught.value)
