"""Plans held against what SGLang's own resolver makes of their arguments, on a pretended GPU."""

from __future__ import annotations

import ast
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.frameworks.adapter import adapter
from compiler.frameworks.lifted import Source
from compiler.frameworks.proof import Finding
from compiler.frameworks.sglang import contexts, resolved
from compiler.frameworks.sglang.resolver import ask
from compiler.passes import lay_out
from compiler.pools import pool_config
from compiler.specs.config import Config
from compiler.specs.weights import Quantization, Stored
from tests.configs import changed, composed
from tests.sglang_plans import LATENT, OTHERS, accepted, context, served, told
from tests.wheels import wheel

GLM = {
    **LATENT["GLM 5"][1],
    "model.quantization": Quantization("modelopt", {"experts": Stored("nvfp4", 4.5, "nvfp4")}, "fp8"),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The package unpacked once."""
    for name in ask.NEEDED:
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("sglang")
    with zipfile.ZipFile(wheel("sglang", "0.5.23")) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if ask.read(name)])
    return Source("sglang", folder)


def different(source: Source, configs: Sequence[Config]) -> dict[int, list[Finding]]:
    """Of each plan, what SGLang makes otherwise; those without are left out."""
    worlds = [lay_out(config) for config in configs]
    answers = ask.resolve(source, [ask.case(world) for world in worlds])
    found = {
        number: [finding for finding in resolved.findings(world, answer) if not finding.equal]
        for number, (world, answer) in enumerate(zip(worlds, answers, strict=True))
    }
    return {number: findings for number, findings in found.items() if findings}


def test_eighty_plans_of_latent_attention_with_context_parallelism_run_as_planned(source: Source) -> None:
    configs = list(accepted(context, 80))
    assert different(source, configs) == {}
    assert {bool(config.model.index_topk) for config in configs} == {True, False}
    assert {bool(contexts.spans(config)) for config in configs} == {True, False}
    assert any(config.degrees.adp > 1 and config.degrees.pp > 1 for config in configs)
    assert any(config.degrees.tp > 1 for config in configs)
    assert any("zigzag" in contexts.strategy(config) for config in configs)


def test_forty_plans_of_every_kind_run_as_planned(source: Source) -> None:
    configs = list(accepted(served, 36))
    assert len({config.model.name for config in configs}) > len(OTHERS)
    pair = "workload.pools={prefill: {parallel: cp8_ep8_etp1_adp1}, decode: {parallel: ep16_etp1_adp16}}"
    pools = composed("framework=sglang", "model=deepseek_v3", "hardware=h200", "hardware.nodes=3", pair)
    configs += [told(pool_config(pools, role)) for role in ("prefill", "decode")]
    quick = changed(composed("framework=sglang", "model=deepseek_v3", "hardware=h200"), {"hardware.nodes": 4})
    configs += [
        told(changed(quick, {**DEGREES, "workload.low_latency_dispatch": True})),
        told(changed(quick, {**DEGREES, "workload.low_latency_dispatch": True, "workload.two_batch_overlap": True})),
    ]
    assert different(source, configs) == {}
    assert len(configs) == 40


DEGREES: dict[str, Any] = {
    "parallel.dp": None,
    "parallel.tp": 1,
    "parallel.pp": 1,
    "parallel.adp": 32,
    "parallel.ep": 32,
    "parallel.etp": 1,
}


def tampered(source: Source, config: Config, *arguments: str, **changes: Any) -> list[str]:
    """What differs where the server is started with other arguments than the plan's, after them."""
    world = lay_out(config)
    case = ask.case(world)
    case = replace(case, arguments=(*case.arguments, *arguments), **changes)
    return [item.what for item in resolved.findings(world, ask.resolve(source, [case])[0]) if not item.equal]


CONTEXT = changed(
    composed("framework=sglang", "model=deepseek_v3", "hardware=h200", "hardware.nodes=1"),
    {
        "parallel.dp": None,
        "parallel.tp": 1,
        "parallel.pp": 1,
        "parallel.cp": 8,
        "parallel.adp": 1,
        "parallel.ep": 8,
        "parallel.etp": 1,
    },
)


@pytest.mark.parametrize(
    ("argument", "what"),
    [
        ("--attn-dp-size=2", "resolved degrees"),
        ("--pp-size=2", "resolved degrees"),
        ("--chunked-prefill-size=512", "resolved chunk"),
        ("--kv-cache-dtype=fp8_e4m3", "resolved KV cache"),
        ("--dtype=float16", "resolved precision"),
        ("--max-running-requests=3", "resolved requests"),
        ("--moe-a2a-backend=nixl", "resolved arguments"),
        ("--tp-size=6", "resolved arguments"),
    ],
)
def test_another_argument_is_noticed(argument: str, what: str, source: Source) -> None:
    config = changed(CONTEXT, {"workload.prefill_chunk": 1024})
    assert what in tampered(source, config, argument)


def test_what_sglang_overrides_is_said_with_what_does(source: Source) -> None:
    """Plans that are refused, laid out all the same."""
    wrong = changed(CONTEXT, {"parallel.tp": 2, "parallel.cp": 4})
    findings = different(source, [wrong])[0]
    assert [item.what for item in findings] == ["resolved degrees", "resolved arguments"]
    assert findings[0].found == "attn_cp_size=8 (_deepseek_family_overrides)"
    assert findings[1].found == "['attn_cp_size 4 -> 8 by _deepseek_family_overrides']"


def test_a_plan_that_it_stops_at_is_said_in_its_words(source: Source) -> None:
    wide = changed(CONTEXT, {"model.index_topk": 2048, "parallel.cp": 16, "parallel.ep": 16, "hardware.nodes": 2})
    (found,) = different(source, [wide])[0]
    assert (found.what, found.planned) == ("resolved arguments", "a server that starts")
    assert "Context parallel only supports single machine (tp_size <= 8)" in found.found


@pytest.mark.parametrize(
    ("hardware", "changes", "cache"),
    [
        ("b200", GLM, "fp8"),
        ("h200", GLM, "bf16"),
        (
            "h200",
            {"model.quantization": Quantization("modelopt", {"experts": Stored("fp8", 8.0, "fp8")}, "fp8")},
            "fp8",
        ),
        (
            "h200",
            {"model.quantization": Quantization("modelopt", {"experts": Stored("fp8", 8.0, "fp8")}, "nvfp4")},
            "bf16",
        ),
        (
            "h200",
            {"model.quantization": Quantization("compressed-tensors", {"experts": Stored("fp8", 8.0, "fp8")}, "fp8")},
            "bf16",
        ),
    ],
)
def test_the_cache_is_as_wide_as_the_checkpoint_and_the_gpu_make_it(
    hardware: str, changes: dict[str, Any], cache: str, source: Source
) -> None:
    """Counted so, and resolved so with and without the option that says it."""
    base = changed(composed("framework=sglang", "model=kimi_k2", f"hardware={hardware}", "hardware.nodes=4"), DEGREES)
    config = told(changed(base, {**changes, "parallel.tp": 8, "parallel.adp": 4, "workload.precision": "bf16"}))
    assert (config.workload.kv_cache_precision or "bf16") == cache
    assert different(source, [config]) == {}
    bare = ask.case(lay_out(config))
    bare = replace(bare, arguments=tuple(word for word in bare.arguments if not word.startswith("--kv-cache-dtype")))
    (answer,) = ask.resolve(source, [bare])
    assert resolved.CACHED[answer.model["kv_cache"]] == cache


@pytest.mark.parametrize("version", ["0.5.23", "0.5.21"])
def test_the_families_are_those_of_the_release(version: str) -> None:
    """Every architecture that its overrides of latent attention are registered for."""
    tree = Source("sglang", wheel("sglang", version)).tree("srt/arg_groups/model_overrides/deepseek_v2.py")
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "_deepseek_family_overrides":
            found |= {item.value for item in ast.walk(node.decorator_list[0]) if isinstance(item, ast.Constant)}
    assert found <= contexts.LATENT
    assert found == contexts.LATENT or version != "0.5.23"


def test_an_older_release_is_asked_too() -> None:
    for name in ask.NEEDED:
        pytest.importorskip(name)
    source = Source("sglang", wheel("sglang", "0.5.21"))
    configs = [changed(config, {"framework.version": "0.5.21"}) for config in accepted(context, 12)]
    configs = [
        config
        for config in configs
        if not [item for item in adapter("sglang").declared(config) if item.status == "fail"]
    ]
    assert different(source, configs) == {}
    assert len(configs) > 5


def test_what_the_resolver_needs_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from compiler.frameworks.proof import NotInstalledError

    monkeypatch.setattr(ask, "find_spec", lambda name: None if name == "transformers" else name)
    with pytest.raises(NotInstalledError, match=r"transformers is not installed, .* ; pip install transformers"):
        ask.resolve(Source("sglang", tmp_path), [])
    monkeypatch.undo()
    pytest.importorskip("transformers")
    with pytest.raises(
        NotInstalledError, match=r"resolver does not run here: .*No module named 'sglang' ; install what is missing"
    ):
        ask.resolve(Source("sglang", tmp_path), [ask.case(lay_out(CONTEXT))])
