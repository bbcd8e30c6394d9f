"""Every rule of vLLM's is seen to hold and to break, with its numbers and a fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import compiler.frameworks.deepep
import compiler.frameworks.serving
import compiler.frameworks.vllm.attention_rules
import compiler.frameworks.vllm.feature_rules
import compiler.frameworks.vllm.flag_rules
import compiler.frameworks.vllm.rules
from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from compiler.specs.config import Config
from tests.checks import by_id
from tests.configs import changed
from tests.vllm_cases import ARGS, BASE, CASES, DBO, DCP, DENSE, KUBERNETES, KV, NIXL, WIDE

HELD: list[tuple[str, Config, dict[str, Any]]] = [
    (
        "vllm-round-robin",
        WIDE,
        {"framework.expert_layout": "round_robin", "model.n_group": 8, ARGS: ["--all2all-backend=nixl_ep"]},
    ),
    ("vllm-all2all-removed", WIDE, {ARGS: ["--all2all-backend=deepep_low_latency"]}),
    ("vllm-all2all-unused", WIDE, {ARGS: ["--all2all-backend=deepep_low_latency"]}),
    ("vllm-deepep-ranks", WIDE, {ARGS: ["--all2all-backend=deepep_high_throughput"]}),
    ("vllm-deepep-node", WIDE, {ARGS: ["--all2all-backend=deepep_high_throughput"]}),
    ("vllm-nvlink-domain", WIDE, {ARGS: ["--all2all-backend=deepep_high_throughput"]}),
    ("vllm-moonep", WIDE, {ARGS: ["--all2all-backend=moonep"], "workload.precision": "bf16"}),
    ("vllm-redundant-experts", BASE, {ARGS: ["--enable-eplb", "--eplb-config.num_redundant_experts=16"]}),
    ("vllm-eplb", BASE, {ARGS: ["--enable-eplb"]}),
    ("vllm-expert-copies", BASE, {ARGS: ["--enable-eplb", "--eplb-config.num_redundant_experts=16"]}),
    ("vllm-physical-experts", BASE, {ARGS: ["--enable-eplb", "--eplb-config.num_redundant_experts=16"]}),
    (
        "vllm-eplb-communicator",
        BASE,
        {ARGS: ["--enable-eplb", '--eplb-config={"communicator": "pynccl", "use_async": false}']},
    ),
    ("vllm-decode-context", DENSE, {ARGS: [DCP, "4"]}),
    ("vllm-decode-context-heads", DENSE, {ARGS: [DCP, "2"], "model.num_key_value_heads": 2}),
    ("vllm-dense-data-parallel", DENSE, {}),
    ("vllm-service-name", KUBERNETES, {"name": "vllm-1"}),
    ("vllm-elastic", WIDE, {ARGS: ["--enable-elastic-ep", "--enable-eplb"]}),
    ("vllm-dbo", WIDE, {ARGS: ["--enable-dbo"]}),
    ("vllm-dbo-backend", WIDE, {ARGS: ["--enable-dbo", "--all2all-backend=nixl_ep"]}),
    ("vllm-return-routed-experts", WIDE, {ARGS: ["--enable-return-routed-experts"]}),
    ("vllm-prefill-context", changed(BASE, {"parallel.cp": 2, "parallel.ep": 32}), {}),
    ("vllm-dbo-threshold", WIDE, {ARGS: DBO}),
    ("vllm-dbo-alone", WIDE, {ARGS: DBO}),
    ("vllm-hc-sp", WIDE, {ARGS: ["--enable-hc-sp"]}),
    ("vllm-hisparse", WIDE, {ARGS: [KV, '{"kv_connector": "HiSparseConnector"}']}),
    ("vllm-nixl-context", DENSE, {ARGS: [NIXL]}),
    ("vllm-nixl-context", DENSE, {ARGS: [NIXL, f"{DCP}=8"], "model.kv_lora_rank": 512}),
    ("vllm-async-scheduling", BASE, {ARGS: ["--async-scheduling"]}),
    ("vllm-fault-tolerance", DENSE, {ARGS: ["--enable-fault-tolerance"]}),
]
ALWAYS = (
    "serving order virtual-stages weights precision expert-layout vocabulary expert-parallel nodes unit executor load-balancer"
).split()


def checks(config: Config) -> dict[str, Check]:
    """vLLM's checks by id, the worst of those with one id."""
    return by_id(adapter("vllm").declared(config))


@pytest.mark.parametrize(("name", "config", "values", "status", "message", "fix"), CASES)
def test_a_rule_breaks(name: str, config: Config, values: dict[str, Any], status: str, message: str, fix: str) -> None:
    before = checks(config).get(name)
    assert before is None or before.status == "pass"
    found = checks(changed(config, values))[name]
    assert (found.status, message in found.message, fix in found.fix) == (status, True, True), found


@pytest.mark.parametrize(("name", "config", "values"), HELD)
def test_a_rule_holds(name: str, config: Config, values: dict[str, Any]) -> None:
    assert checks(changed(config, values))[name].status == "pass"


def test_rules_that_always_speak_hold_for_a_good_plan() -> None:
    found = checks(BASE)
    assert {f"vllm-{name}" for name in ALWAYS} <= set(found)
    assert {item.status for item in found.values()} == {"pass"}


def test_every_rule_has_a_case() -> None:
    modules = (
        compiler.frameworks.vllm.rules,
        compiler.frameworks.vllm.flag_rules,
        compiler.frameworks.vllm.feature_rules,
        compiler.frameworks.vllm.attention_rules,
        compiler.frameworks.serving,
        compiler.frameworks.deepep,
    )
    features = {f"vllm-{name}" for name in ("dbo", "return-routed-experts", "hc-sp", "hisparse")}
    texts = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules]
    names = {f"vllm-{name}" for text in texts for name in re.findall(r'"(?:vllm|\{name\})-([a-z0-9-]+)"', text)}
    assert len(names) > 20
    assert (names | features) - {name for name, *_ in CASES} == set()


def test_messages_name_the_version_that_is_planned_for() -> None:
    found = checks(changed(BASE, {"framework.version": "0.33.1", "parallel.ep": 8}))
    assert found["vllm-expert-parallel"].message.startswith("vLLM 0.33.1 parallel_state.py")
    assert found["framework-version"].status == "pass"
