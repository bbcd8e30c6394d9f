"""Plans held against what SGLang's own resolver makes of their arguments, on a pretended GPU."""

from __future__ import annotations

import ast
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.lifted import Source
from compiler.frameworks.proof import Finding, NotInstalledError
from compiler.frameworks.sglang import contexts, resolved
from compiler.frameworks.sglang.resolver import ask
from compiler.pools import pool_config
from compiler.specs.config import Config
from compiler.specs.weights import Quantization, Stored
from tests.configs import changed, composed
from tests.sglang_plans import LATENT, accepted, context, served, told
from tests.wheels import wheel

ONE = {"parallel.dp": None, "parallel.tp": 1, "parallel.pp": 1}
SPREAD = {**ONE, "parallel.adp": 32, "parallel.ep": 32, "parallel.etp": 1, "hardware.nodes": 4}
DEEPSEEK = composed("framework=sglang", "model=deepseek_v3", "hardware=h200")
CONTEXT = changed(
    DEEPSEEK,
    {
        **ONE,
        "parallel.cp": 8,
        "parallel.adp": 1,
        "parallel.ep": 8,
        "parallel.etp": 1,
        "hardware.nodes": 1,
        "workload.prefill_chunk": 1024,
    },
)
PAIR = "workload.pools={prefill: {parallel: cp8_ep8_etp1_adp1}, decode: {parallel: ep16_etp1_adp16}}"
POOLS = composed("framework=sglang", "model=deepseek_v3", "hardware=h200", "hardware.nodes=3", PAIR)


def forty() -> list[Config]:
    """Every kind of server: models of all sizes, pools, low latency, halves."""
    quick = {**SPREAD, "workload.low_latency_dispatch": True}
    return [
        *accepted(served, 36),
        *(told(pool_config(POOLS, role)) for role in ("prefill", "decode")),
        told(changed(DEEPSEEK, quick)),
        told(changed(DEEPSEEK, {**quick, "workload.two_batch_overlap": True})),
    ]


FP8, NVFP4 = {"experts": Stored("fp8", 8.0, "fp8")}, {"experts": Stored("nvfp4", 4.5, "nvfp4")}
GLM = {**LATENT["GLM 5"][1], "model.quantization": Quantization("modelopt", NVFP4, "fp8")}
CACHES: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "an indexer on Blackwell": ("b200", GLM, "fp8"),
    "an indexer before": ("h200", GLM, "bf16"),
    "ModelOpt's FP8": ("h200", {"model.quantization": Quantization("modelopt", FP8, "fp8")}, "fp8"),
    "ModelOpt's NVFP4": ("h200", {"model.quantization": Quantization("modelopt", FP8, "nvfp4")}, "bf16"),
    "compressed-tensors": ("h200", {"model.quantization": Quantization("compressed-tensors", FP8, "fp8")}, "bf16"),
}
"""What a checkpoint asks for of its cache -> the GPU, the model, the precision that it is kept in."""


def cache(name: str) -> Config:
    hardware, changes, _ = CACHES[name]
    base = changed(composed("framework=sglang", "model=kimi_k2", f"hardware={hardware}"), SPREAD)
    return told(changed(base, {**changes, "parallel.tp": 8, "parallel.adp": 4, "workload.precision": "bf16"}))


TAMPERED = {
    "--attn-dp-size=2": "resolved degrees",
    "--pp-size=2": "resolved degrees",
    "--chunked-prefill-size=512": "resolved chunk",
    "--kv-cache-dtype=fp8_e4m3": "resolved KV cache",
    "--dtype=float16": "resolved precision",
    "--max-running-requests=3": "resolved requests",
    "--deepep-mode=normal": "resolved dispatcher",
    "--moe-a2a-backend=nixl": "resolved arguments",
    "--ep-size=4": "resolved arguments",
    "--tp-size=6": "resolved arguments",
    "--no-such-option": "resolved arguments",
}
"""An argument behind the plan's own -> what is then found to differ."""

REFUSED = {
    "heads": changed(CONTEXT, {"parallel.tp": 2, "parallel.cp": 4}),
    "wide": changed(
        CONTEXT,
        {
            "model.index_topk": 2048,
            "model.architectures": None,
            "model.model_type": None,
            "parallel.cp": 16,
            "parallel.ep": 16,
            "hardware.nodes": 2,
        },
    ),
}
"""Plans that no compile lets through, laid out all the same."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The package unpacked once."""
    for name in ask.NEEDED:
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("sglang")
    with zipfile.ZipFile(wheel("sglang", "0.5.23")) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if ask.read(name)])
    return Source("sglang", folder)


Findings = dict[str, list[Finding]]


@pytest.fixture(scope="module")
def findings(source: Source) -> Findings:
    """Every case of this module resolved in one go: what differs, by name."""
    plans = {f"context {number}": config for number, config in enumerate(accepted(context, 80))}
    plans |= {f"served {number}": config for number, config in enumerate(forty())}
    plans |= {name: cache(name) for name in CACHES} | REFUSED
    worlds = {name: lay_out(config) for name, config in plans.items()}
    cases = {name: ask.case(world) for name, world in worlds.items()}
    quick = changed(CONTEXT, {"workload.low_latency_dispatch": True})
    for argument in TAMPERED:
        worlds[argument] = lay_out(quick if "deepep" in argument else CONTEXT)
        case = ask.case(worlds[argument])
        cases[argument] = replace(case, arguments=(*case.arguments, argument))
    for name in CACHES:  # without the option that says it
        worlds[f"{name}, unsaid"] = worlds[name]
        told_of = cases[name].arguments
        own = tuple(word for word in told_of if not word.startswith("--kv-cache-dtype"))
        cases[f"{name}, unsaid"] = replace(cases[name], arguments=own)
    answers = dict(zip(cases, ask.resolve(source, list(cases.values())), strict=True))
    return {name: [item for item in resolved.findings(worlds[name], answers[name]) if not item.equal] for name in cases}


def test_eighty_plans_of_latent_attention_with_context_parallelism_run_as_planned(findings: Findings) -> None:
    found = {name: items for name, items in findings.items() if name.startswith("context ")}
    assert {name: items for name, items in found.items() if items} == {}
    assert len(found) == 80


def test_the_eighty_are_of_every_kind() -> None:
    configs = list(accepted(context, 80))
    assert {bool(config.model.index_topk) for config in configs} == {True, False}
    assert {contexts.spans(config) for config in configs} == {True, False}
    assert any(config.degrees.adp > 1 and config.degrees.pp > 1 for config in configs)
    assert any(config.degrees.tp > 1 for config in configs)
    assert any(config.workload.draft_tokens for config in configs)
    assert {contexts.strategy(config) for config in configs} == {"interleave", "zigzag"}


def test_forty_plans_of_every_kind_run_as_planned(findings: Findings) -> None:
    found = {name: items for name, items in findings.items() if name.startswith("served ")}
    assert {name: items for name, items in found.items() if items} == {}
    assert len(found) == 40


@pytest.mark.parametrize("argument", TAMPERED)
def test_another_argument_is_noticed(argument: str, findings: Findings) -> None:
    assert TAMPERED[argument] in [item.what for item in findings[argument]]


def test_what_sglang_overrides_is_said_with_what_does(findings: Findings) -> None:
    degrees, arguments = findings["heads"]
    assert degrees.what == "resolved degrees"
    assert degrees.planned == "attn_cp_size=4"
    assert degrees.found == "attn_cp_size=8 (_deepseek_family_overrides)"
    assert arguments.found == "['attn_cp_size 4 -> 8 by _deepseek_family_overrides']"


def test_where_it_stops_is_said_in_its_words(findings: Findings) -> None:
    (found,) = findings["wide"]
    assert (found.what, found.planned) == ("resolved arguments", "a server that starts")
    assert "Context parallel only supports single machine (tp_size <= 8)" in found.found


@pytest.mark.parametrize("name", CACHES)
def test_the_cache_is_as_wide_as_the_checkpoint_and_the_gpu_make_it(name: str, findings: Findings) -> None:
    """Counted so, and resolved so with and without the option that says it."""
    assert (cache(name).workload.kv_cache_precision or "bf16") == CACHES[name][2]
    assert findings[name] == []
    assert findings[f"{name}, unsaid"] == []


@pytest.mark.parametrize("version", ["0.5.23", "0.5.21"])
def test_the_families_are_those_of_the_release(version: str) -> None:
    """Every architecture that its overrides of latent attention are registered for."""
    tree = Source("sglang", wheel("sglang", version)).tree("srt/arg_groups/model_overrides/deepseek_v2.py")
    found: set[object] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "_deepseek_family_overrides":
            found |= {item.value for item in ast.walk(node.decorator_list[0]) if isinstance(item, ast.Constant)}
    assert len(found) > 5
    assert found <= contexts.LATENT
    assert found == contexts.LATENT or version != "0.5.23"


def test_an_older_release_is_asked_too() -> None:
    for name in ask.NEEDED:
        pytest.importorskip(name)
    drawn = (changed(config, {"framework.version": "0.5.21"}) for config in accepted(context, 24))
    rules = adapter("sglang").declared
    configs = [config for config in drawn if all(check.status != "fail" for check in rules(config))]
    worlds = [lay_out(config) for config in configs]
    answers = ask.resolve(Source("sglang", wheel("sglang", "0.5.21")), [ask.case(world) for world in worlds])
    for world, answer in zip(worlds, answers, strict=True):
        assert [item for item in resolved.findings(world, answer) if not item.equal] == []
    assert len(configs) > 10


def test_what_the_resolver_needs_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ask, "find_spec", lambda name: None if name == "transformers" else name)
    with pytest.raises(NotInstalledError, match=r"transformers is not installed, .* ; pip install transformers"):
        ask.resolve(Source("sglang", tmp_path), [])


def test_a_package_that_is_none_is_said(tmp_path: Path) -> None:
    for name in ask.NEEDED:
        pytest.importorskip(name)
    with pytest.raises(NotInstalledError, match=r"does not run here: .*No module named 'sglang' ; install what is"):
        ask.resolve(Source("sglang", tmp_path), [ask.case(lay_out(CONTEXT))])
