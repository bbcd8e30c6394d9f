"""What vLLM's own resolver, run whole on a pretended GPU, makes of plans: degrees, dtypes, caches, passes and graphs."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

import pytest

from compiler.costs.case import case as costed
from compiler.frameworks import resolved as driver
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.lifted import Source
from compiler.frameworks.resolved import Resolved
from compiler.frameworks.vllm import resolved
from compiler.specs.config import Config
from compiler.specs.weights import Quantization, Stored
from compiler.world import World
from tests.configs import changed, composed
from tests.costed import kv_token
from tests.vllm_resolved_plans import HF, plan, refused
from tests.wheels import wheel

NEEDED = [name for name in ("torch", "transformers", "pydantic") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"vLLM's resolver needs {', '.join(NEEDED)}")

ON_EIGHT = ("framework=vllm", "framework.args=[org/model]", "workload.global_batch_size=64")
GLM = f"model.hf_config={HF / 'glm_moe_dsa.json'}"
SERVED = {
    "dense": ("model=llama3_1_8b", "hardware=h200", "parallel=tp8"),
    "pipeline": ("model=llama3_1_70b", "hardware=h200", "hardware.nodes=2", "parallel=tp8_pp2"),
    "experts": ("model=qwen3_30b_a3b", "hardware=h200", "parallel=tp2_adp4_ep8_etp1"),
    "over nodes": ("model=deepseek_v3", "hardware=h200", "hardware.nodes=2", "parallel=adp16_ep16_etp1"),
    "one rank over nodes": ("model=kimi_k2", "hardware=h200", "hardware.nodes=2", "parallel=tp16_ep16_etp1"),
    "latent, context": ("model=deepseek_v3", "hardware=b200", "parallel=tp4_cp2_ep8_etp1"),
    "drafts, low latency": (
        *("model=deepseek_v3", "hardware=h200", "parallel=adp8_ep8_etp1"),
        *("workload.draft_tokens=1", "workload.low_latency_dispatch=true"),
    ),
    "graphs of GPT-OSS": ("model=gpt_oss_120b", "hardware=h200", "parallel=tp8", "parallel.etp=8"),
    "a long prompt": ("model=llama3_1_8b", "hardware=h200", "parallel=tp8", "workload.sequence_lengths=[100000]"),
    "many sequences": ("model=llama3_1_8b", "hardware=a100_80gb", "parallel=tp8", "workload.global_batch_size=3000"),
    "GPT-2": (
        f"model.hf_config={HF / 'gpt2.json'}",
        "hardware=h200",
        "parallel=tp2",
        "workload.sequence_lengths=[512]",
    ),
    "Llama 4": ("model=llama4_scout", "hardware=h200", "parallel=tp8", "parallel.etp=8"),
    "a cache of FP8": ("model=llama3_1_8b", "hardware=h200", "parallel=tp8", "workload.kv_cache_precision=fp8"),
    "sparse on Hopper": (GLM, "hardware=h200", "parallel=adp8_ep8_etp1"),
    "sparse on Blackwell": (GLM, "hardware=b200", "parallel=adp8_ep8_etp1"),
    "sparse, FP8 on Hopper": (GLM, "hardware=h200", "parallel=adp8_ep8_etp1", "workload.kv_cache_precision=fp8"),
}
TAMPERED = {
    "tp": ("--tensor-parallel-size=8", "--tensor-parallel-size=4"),
    "expert_parallel": ("--enable-expert-parallel", "--no-enable-expert-parallel"),
    "length": ("--max-model-len=", "--max-model-len=77"),
    "sequences": ("--max-num-seqs=", "--max-num-seqs=3"),
    "dtype": ("--dtype=", "--dtype=float16"),
    "token_bytes": ("org/model", "--kv-cache-dtype=fp8"),
    "graph_tokens": ("org/model", "--enforce-eager"),
    "chunk": ("--max-num-batched-tokens=", "--max-num-batched-tokens=512"),
    "dispatcher": ("org/model", "--all2all-backend=nixl_ep"),
}
"""A value -> the beginning of an argument, and what stands in its place."""

MAPPINGS = (
    "-cc=9",
    '-cc={"pass_config":{"fuse_norm":true}}',
    "--speculative-config=[]",
    '--speculative-config={"method":"ngram","num-speculative-tokens":1,"prompt_lookup_max":3}',
    '--eplb-config={"window_size":1k}',
    '--eplb-config={"use_async":3}',
    "--compilation-config.cudagraph_capture_sizes+=4",
    "-O9",
)
"""Options with JSON, numbers with letters and levels, of which its parser takes about half."""

UNKNOWN = ("--tensor-parallel-sizes=8", "--enable-expert-paralel", "--max-num-sequences=3")


def served(name: str) -> World:
    return lay_out(composed(*ON_EIGHT, *SERVED[name]))


@pytest.fixture(scope="module")
def source() -> Source:
    return Source("vllm", wheel("vllm", "0.33.0"))


@pytest.fixture(scope="module")
def answers(source: Source) -> dict[str, Resolved]:
    """To every plan of this module, every tampered one and every unknown option, by one process."""
    worlds = {name: served(name) for name in SERVED}
    cases = {name: resolved.case(world) for name, world in worlds.items()}
    cases |= {f"{name}, node 1": resolved.case(world, 1) for name, world in worlds.items() if "over nodes" in name}
    base = resolved.case(lay_out(tampered_base()))
    for name, (old, new) in TAMPERED.items():
        words = [new if word.startswith(old) else word for word in base["arguments"]]
        assert words != base["arguments"]
        cases[f"tampered {name}"] = {**base, "arguments": words}
    cases |= {option: with_option(base, option) for option in UNKNOWN}
    cases |= {option: with_option(cases["dense"], option) for option in MAPPINGS}
    cases |= {f"calibrated {i}": resolved.case(world) for i, world in enumerate(calibrated())}
    cases |= {f"random {seed}": resolved.case(lay_out(config)) for seed, config in drawn().items()}
    found = resolved.resolve(list(cases.values()), source)
    return dict(zip(cases, found, strict=True))


def with_option(case: dict[str, Any], option: str) -> dict[str, Any]:
    return {**case, "arguments": [*case["arguments"], option]}


def tampered_base() -> Config:
    return composed(
        *ON_EIGHT, "model=qwen3_30b_a3b", "hardware=h200", "hardware.nodes=2", "parallel=tp8_adp2_ep16_etp1"
    )


@pytest.mark.parametrize("name", SERVED)
def test_what_is_resolved_is_what_is_planned(name: str, answers: dict[str, Resolved]) -> None:
    world = served(name)
    found = list(driver.findings(resolved.planned(world), answers[name]))
    assert [item for item in found if not item.equal] == []
    assert len(found) >= 20
    own = answers[name].values
    assert kv_token(costed(world)) == pytest.approx(own["token_bytes"] + own["index_bytes"])


def test_servers_of_other_nodes_start_too(answers: dict[str, Resolved]) -> None:
    assert [answers[name].stopped for name in answers if name.endswith("node 1")] == ["", ""]


@pytest.mark.parametrize("name", TAMPERED)
def test_another_value_is_found(name: str, answers: dict[str, Resolved]) -> None:
    found = answers[f"tampered {name}"]
    different = [
        item.what for item in driver.findings(resolved.planned(lay_out(tampered_base())), found) if not item.equal
    ]
    assert found.stopped == ""
    assert f"resolved {name}" in different


def taken(config: Config, option: str) -> bool:
    from compiler import invariants

    config = changed(config, {"framework.args": ["org/model", option]})
    return [item.status for item in invariants.declared(config) if item.id == "framework-arguments"] != ["fail"]


@pytest.mark.parametrize("option", UNKNOWN)
def test_an_unknown_option_stops_its_parser_and_the_plan(option: str, answers: dict[str, Resolved]) -> None:
    assert answers[option].stopped == "its parser does not take the arguments"
    assert not taken(tampered_base(), option)


@pytest.mark.parametrize("option", MAPPINGS)
def test_a_value_is_taken_where_vllm_takes_it(option: str, answers: dict[str, Resolved]) -> None:
    assert taken(composed(*ON_EIGHT, *SERVED["dense"]), option) == (not answers[option].stopped)


def calibrated() -> list[World]:
    """By ModelOpt's word, by compressed-tensors' scheme, and with a word of the user's."""
    narrow = Stored("fp8", 8.0, "fp8")
    checkpoint = Quantization("modelopt", {"attention": narrow, "mlp": narrow}, "fp8")
    config = changed(composed(*ON_EIGHT, *SERVED["dense"]), {"model.quantization": checkpoint})
    configs = [
        config,
        changed(config, {"model.quantization.method": "compressed-tensors"}),
        changed(config, {"workload.kv_cache_precision": "bf16"}),
    ]
    return [lay_out(config) for config in configs]


def test_checkpoints_that_are_calibrated_for_a_narrow_cache(answers: dict[str, Resolved]) -> None:
    """ModelOpt's word and compressed-tensors' scheme halve what is cached; a word of the user's goes before."""
    worlds = calibrated()
    assert [world.traits.cached.element for world in worlds] == [1.0, 1.0, 2.0]
    found = [answers[f"calibrated {i}"].values["token_bytes"] for i in range(len(worlds))]
    assert found == [kv_token(costed(world)) for world in worlds]


@cache
def drawn() -> dict[int, Config]:
    """Random plans by their seeds."""
    plans = {seed: plan(seed) for seed in range(60)}
    kept = (seed for seed, config in plans.items() if "--max-num-batched-tokens=4096" not in config.framework.args)
    return {seed: adapter("vllm").told(plans[seed]) for seed in kept}


@pytest.mark.slow
def test_random_plans_are_resolved_as_planned_or_refused_by_both(answers: dict[str, Resolved]) -> None:
    for seed, config in drawn().items():
        rules, answer = refused(config), answers[f"random {seed}"]
        if rules:
            assert answer.stopped or rules == ["vllm-decode-context"]  # which stops when a connector is made
            continue
        different = [item for item in driver.findings(resolved.planned(lay_out(config)), answer) if not item.equal]
        assert different == [], (config.model.name, config.hardware.name, config.degrees.name, config.framework.args)


def test_a_missing_package_is_named(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    from compiler.frameworks.proof import NotInstalledError

    monkeypatch.setattr(resolved, "NEEDS", {"no_such_package": "no-such-package==1"})
    with pytest.raises(NotInstalledError, match="resolver needs more than its source ; pip install no-such-package==1"):
        resolved.ask([(served("dense"), 0)], source)
