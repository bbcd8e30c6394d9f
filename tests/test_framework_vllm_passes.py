"""Chunks, drafts, halved batches and low latency: what vLLM is told of them, and what it would refuse or leave out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import compiler.frameworks.asked
import compiler.frameworks.vllm.pass_rules
from compiler.checks import Check
from compiler.errors import ConfigError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.lifted import Source
from compiler.frameworks.vllm.prove import findings
from compiler.pools import pool_config
from compiler.specs.config import Config
from tests.checks import by_id
from tests.configs import changed, composed
from tests.pooled_plans import pools
from tests.vllm_cases import ARGS, DENSE, WIDE
from tests.vllm_pass_cases import BATCH, CACHE, CHUNK, DRAFTING, DRAFTS, HALVES, LAYERS, QUICK, REFUSED
from tests.wheels import wheel

MTP = '--speculative-config={"method":"mtp","num_speculative_tokens":2}'
LL = "--all2all-backend=deepep_low_latency"

EMITTED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({CHUNK: 2048}, ["--enable-chunked-prefill", "--max-num-batched-tokens=2048"]),
    ({DRAFTS: 2}, [MTP]),
    ({QUICK: True}, [LL]),
    ({QUICK: True, HALVES: True}, [LL, "--enable-dbo"]),
    ({CACHE: "fp8"}, ["--kv-cache-dtype=fp8"]),
    ({CACHE: "bf16"}, ["--kv-cache-dtype=bfloat16"]),
]


def words(config: Config) -> list[str]:
    return [text for text in adapter("vllm").emission(lay_out(config)).arguments if isinstance(text, str)]


def checks(config: Config) -> dict[str, Check]:
    return by_id(adapter("vllm").declared(config))


@pytest.mark.parametrize(("values", "expected"), EMITTED)
def test_a_key_is_an_option_on_every_node(values: dict[str, Any], expected: list[str]) -> None:
    usual = words(DRAFTING)
    config = changed(DRAFTING, values)
    assert [text for text in words(config) if text not in usual] == expected
    others = adapter("vllm").emission(lay_out(config)).others
    assert others is not None
    assert set(expected) <= set(others)


def test_a_dense_model_has_no_tokens_to_exchange() -> None:
    assert words(changed(DENSE, {HALVES: True, QUICK: True})) == words(DENSE)


CLASHES: list[tuple[dict[str, Any], str]] = [
    ({CHUNK: 2048}, "--max-num-batched-tokens=4096"),
    ({CHUNK: 2048}, "--no-enable-chunked-prefill"),
    ({DRAFTS: 1}, "--speculative-config={}"),
    ({DRAFTS: 1}, "-sc={}"),
    ({DRAFTS: 1}, "--speculative_config.method=eagle"),
    ({QUICK: True}, "--all2all-backend=nixl_ep"),
    ({HALVES: True}, "--no-enable-dbo"),
    ({CACHE: "fp8"}, "--kv_cache_dtype=auto"),
]


@pytest.mark.parametrize(("values", "flag"), CLASHES)
def test_an_option_is_the_users_until_the_workload_asks(values: dict[str, Any], flag: str) -> None:
    own = changed(DRAFTING, {ARGS: ["org/model", flag]})
    assert flag in words(own)
    with pytest.raises(
        ConfigError, match=f"framework.args sets {flag.split('=', maxsplit=1)[0]}, and so does the plan"
    ):
        words(changed(own, values))


def test_of_two_pools_each_is_told_its_own() -> None:
    """Drafts are of both: NIXL compares the drafting of both ends (`nixl/metadata.py`)."""
    keys = {CHUNK: 2048, DRAFTS: 2, QUICK: True, LAYERS: 1, CACHE: "fp8", ARGS: ["org/model"]}
    degrees = "parallel: {tp: 1, cp: 1, pp: 1, adp: 16, ep: 16, etp: 1}"
    config = changed(composed("framework=vllm", "hardware.nodes=4", pools(degrees, degrees)), keys)
    prefill, decode = (set(words(pool_config(config, role))) for role in ("prefill", "decode"))
    kv = {text for text in prefill | decode if text.startswith("--kv-transfer-config")}
    assert prefill - decode - kv == {"--enable-chunked-prefill", "--max-num-batched-tokens=2048"}
    assert decode - prefill - kv == {LL}
    assert {MTP, "--kv-cache-dtype=fp8"} <= prefill & decode


@pytest.mark.parametrize(("name", "config", "values", "status", "message", "fix"), REFUSED)
def test_a_pass_is_refused(
    name: str, config: Config, values: dict[str, Any], status: str, message: str, fix: str
) -> None:
    assert name not in checks(config) or checks(config)[name].status == "pass"
    found = checks(changed(config, values))[name]
    assert (found.status, found.message, found.fix) == (status, f"vLLM 0.33.0 {message}", fix)


def test_what_fits_is_not_refused() -> None:
    values = {CHUNK: 2048, QUICK: True, HALVES: True, BATCH: 64 * 32}
    for config in (changed(WIDE, values), changed(DRAFTING, {DRAFTS: 3, QUICK: True})):
        assert {name for name, item in checks(config).items() if item.status != "pass"} <= {"vllm-low-latency-prefill"}


def test_every_rule_of_passes_has_a_case() -> None:
    modules = (compiler.frameworks.asked, compiler.frameworks.vllm.pass_rules)
    texts = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules]
    names = {
        f"vllm-{name}" for text in texts for name in re.findall(r'"(?:vllm|\{config.framework.name\})-([a-z-]+)"', text)
    }
    assert len(names) == 10
    assert names - {name for name, *_ in REFUSED} == set()


def test_vllm_knows_every_option() -> None:
    pytest.importorskip("torch")
    source = Source("vllm", wheel("vllm", "0.33.0"))
    config = changed(DRAFTING, {CHUNK: 2048, DRAFTS: 1, QUICK: True, HALVES: True, CACHE: "fp8"})
    assert [item for item in findings(lay_out(config), source) if not item.equal] == []
