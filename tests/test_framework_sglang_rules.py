"""Every rule of SGLang's is seen to hold and to break, with its numbers and a fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import compiler.frameworks.deepep
import compiler.frameworks.serving
import compiler.frameworks.sglang.contexts
import compiler.frameworks.sglang.device_rules
import compiler.frameworks.sglang.expert_rules
import compiler.frameworks.sglang.flag_rules
import compiler.frameworks.sglang.rules
from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from compiler.specs.config import Config
from tests import sglang_context_cases as contexts
from tests.checks import by_id
from tests.configs import changed
from tests.sglang_cases import ARGS, BASE, CASES, CONTEXT, DEEPSEEK, DENSE, FLAT, PIPE

HELD: list[tuple[str, Config, dict[str, Any]]] = [
    ("sglang-dense-layers", DEEPSEEK, {}),
    ("sglang-shared-experts", DEEPSEEK, {}),
    ("sglang-dense-data-parallel", DENSE, {}),
    ("sglang-a2a-ep", BASE, {ARGS: ["--moe-a2a-backend=deepep"]}),
    ("sglang-a2a-attention", FLAT, {ARGS: ["--moe-a2a-backend=flashinfer"]}),
    ("sglang-a2a-attention", BASE, {ARGS: ["--moe-a2a-backend=pplx"]}),
    ("sglang-deepep-ranks", BASE, {ARGS: ["--moe-a2a-backend=deepep"]}),
    ("sglang-deepep-node", BASE, {ARGS: ["--moe-a2a-backend=deepep"]}),
    ("sglang-nvlink-domain", BASE, {ARGS: ["--moe-a2a-backend=deepep"]}),
    ("sglang-moe-runner", BASE, {ARGS: ["--moe-runner-backend=flashinfer_cutedsl"]}),
    ("sglang-expert-copies", BASE, {ARGS: ["--ep-num-redundant-experts=16"]}),
    ("sglang-physical-experts", BASE, {ARGS: ["--ep-num-redundant-experts=16"]}),
    ("sglang-eplb", BASE, {ARGS: ["--enable-eplb"]}),
    ("sglang-ep-dispatch", BASE, {ARGS: ["--ep-dispatch-algorithm=static", "--moe-a2a-backend=deepep"]}),
    ("sglang-cp-strategy", CONTEXT, {}),
    ("sglang-decode-context", DENSE, {ARGS: ["--dcp-size=2"]}),
    ("sglang-dense-width", BASE, {ARGS: ["--moe-dense-tp-size=1"]}),
    ("sglang-shared-width", BASE, {ARGS: ["--shared-experts-tp-size=2", "--moe-a2a-backend=deepep"]}),
    ("sglang-lm-head", BASE, {ARGS: ["--enable-dp-lm-head"]}),
    ("sglang-lm-head-all-to-all", FLAT, {ARGS: ["--enable-tp-lm-head-all-to-all"]}),
    ("sglang-speculative", PIPE, {ARGS: ["--speculative-algorithm=EAGLE"]}),
    ("sglang-elastic", BASE, {ARGS: ["--elastic-ep-backend=nixl"]}),
    ("sglang-dwdp", FLAT, {ARGS: ["--dwdp-size=16"]}),
]
ALWAYS = "serving order virtual-stages weights precision expert-layout unit nodes expert-data-parallel".split()


def checks(config: Config) -> dict[str, Check]:
    """SGLang's checks by id, the worst of those with one id."""
    return by_id(adapter("sglang").declared(config))


@pytest.mark.parametrize(("name", "config", "values", "status", "message", "fix"), [*CASES, *contexts.CASES])
def test_a_rule_breaks(name: str, config: Config, values: dict[str, Any], status: str, message: str, fix: str) -> None:
    before = checks(config).get(name)
    assert before is None or before.status == "pass"
    found = checks(changed(config, values))[name]
    assert (found.status, message in found.message, fix in found.fix) == (status, True, True), found


@pytest.mark.parametrize(("name", "config", "values"), [*HELD, *contexts.HELD])
def test_a_rule_holds(name: str, config: Config, values: dict[str, Any]) -> None:
    assert checks(changed(config, values))[name].status == "pass"


def test_rules_that_always_speak_hold_for_a_good_plan() -> None:
    found = checks(BASE)
    assert {f"sglang-{name}" for name in ALWAYS} <= set(found)
    assert {name for name, item in found.items() if item.status != "pass"} == {"sglang-chunk-divided"}


def test_a_low_latency_dispatch_knows_no_limit_of_ranks() -> None:
    args = ["--moe-a2a-backend=deepep", "--deepep-mode=low_latency"]
    assert "sglang-deepep-ranks" not in checks(changed(FLAT, {ARGS: args, "parallel.adp": 320, "parallel.ep": 320}))


def test_every_rule_has_a_case() -> None:
    modules = (
        compiler.frameworks.sglang.rules,
        compiler.frameworks.sglang.flag_rules,
        compiler.frameworks.sglang.expert_rules,
        compiler.frameworks.sglang.contexts,
        compiler.frameworks.sglang.device_rules,
        compiler.frameworks.serving,
        compiler.frameworks.deepep,
    )
    texts = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules]
    names = {f"sglang-{name}" for text in texts for name in re.findall(r'"(?:sglang|\{name\})-([a-z0-9-]+)"', text)}
    assert len(names) > 25
    elsewhere = {"sglang-state-groups"}  # hybrids have a file of their own
    assert names - {name for name, *_ in (*CASES, *contexts.CASES)} == elsewhere


@pytest.mark.parametrize(("name", "config", "values"), [row[:3] for row in contexts.CASES])
def test_the_degrees_that_a_fix_names_keep_the_rule(name: str, config: Config, values: dict[str, Any]) -> None:
    broken = changed(config, values)
    fix = checks(broken)[name].fix.partition(", or ")[0]
    written = dict(re.findall(r"(parallel\.[a-z]+|framework\.instances)=(\w+)", fix))
    if "parallel.dp" in written:
        better = changed(broken, {key: None if value == "null" else int(value) for key, value in written.items()})
        assert name not in {item.id for item in checks(better).values() if item.status == "fail"}
