"""Chunks, drafts, halved batches and low latency: what SGLang is told of them, and what it would refuse or leave out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import compiler.frameworks.asked
import compiler.frameworks.sglang.pass_rules
from compiler.checks import Check
from compiler.errors import ConfigError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.lifted import Source
from compiler.frameworks.sglang.prove import laid_out
from compiler.pools import pool_config
from compiler.specs.config import Config
from tests import sglang_context_cases as contexts
from tests.checks import by_id
from tests.configs import changed, composed
from tests.pooled_plans import pools
from tests.sglang_cases import ARGS, BASE, DENSE, MODEL, PIPE
from tests.wheels import wheel

CHUNK, DRAFTS, CACHE = "workload.prefill_chunk", "workload.draft_tokens", "workload.kv_cache_precision"
HALVES, QUICK = "workload.two_batch_overlap", "workload.low_latency_dispatch"
BATCH, LAYERS, ROLE = "workload.global_batch_size", "model.num_nextn_predict_layers", "workload.role"
ROOM = "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK"
DRAFTING = changed(BASE, {LAYERS: 1})
EAGLE = [
    "--speculative-algorithm=EAGLE",
    "--speculative-num-steps=2",
    "--speculative-eagle-topk=1",
    "--speculative-num-draft-tokens=3",
]
DEEPEP = "--moe-a2a-backend=deepep"

EMITTED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({CHUNK: 2048}, ["--chunked-prefill-size=8192"]),  # for four ranks of attention DP
    ({CHUNK: 2048, "parallel.tp": 16, "parallel.adp": 1}, ["--chunked-prefill-size=2048"]),
    ({DRAFTS: 2}, EAGLE),
    ({QUICK: True}, [DEEPEP, "--deepep-mode=auto"]),
    ({CACHE: "fp8"}, ["--kv-cache-dtype=fp8_e4m3"]),
    ({CACHE: "bf16"}, ["--kv-cache-dtype=bf16"]),
    ({QUICK: True, HALVES: True}, [DEEPEP, "--deepep-mode=auto", "--enable-two-batch-overlap"]),
]


def words(config: Config) -> list[str]:
    return [text for text in adapter("sglang").emission(lay_out(config)).arguments if isinstance(text, str)]


def checks(config: Config) -> dict[str, Check]:
    return by_id(adapter("sglang").declared(config))


@pytest.mark.parametrize("version", ["0.5.21", "0.5.23"])
@pytest.mark.parametrize(("values", "expected"), EMITTED)
def test_a_key_is_an_option_that_sglang_has(values: dict[str, Any], expected: list[str], version: str) -> None:
    degrees = {key: value for key, value in values.items() if key.startswith("parallel")}
    usual = changed(DRAFTING, {**degrees, "framework.version": version})
    config = changed(usual, values)
    assert [text for text in words(config) if text not in words(usual)] == expected
    pytest.importorskip("torch")
    source = Source("sglang", wheel("sglang", version))
    assert [item for item in laid_out(lay_out(config), source) if not item.equal] == []


def test_a_dense_model_has_no_tokens_to_exchange() -> None:
    assert words(changed(DENSE, {HALVES: True, QUICK: True})) == words(DENSE)


CLASHES: list[tuple[dict[str, Any], str]] = [
    ({CHUNK: 2048}, "--chunked-prefill-size=4096"),
    ({DRAFTS: 1}, "--speculative-algorithm=NEXTN"),
    ({DRAFTS: 1}, "--speculative-num-draft-tokens=4"),
    ({QUICK: True}, "--moe-a2a-backend=mooncake"),
    ({QUICK: True}, "--deepep-mode=normal"),
    ({HALVES: True}, "--enable-two-batch-overlap"),
    ({CACHE: "fp8"}, "--kv-cache-dtype=nvfp4"),
]


@pytest.mark.parametrize(("values", "flag"), CLASHES)
def test_an_option_is_the_users_until_the_workload_asks(values: dict[str, Any], flag: str) -> None:
    own = changed(DRAFTING, {ARGS: [MODEL, flag]})
    assert flag in words(own)
    with pytest.raises(
        ConfigError, match=f"framework.args sets {flag.split('=', maxsplit=1)[0]}, and so does the plan"
    ):
        words(changed(own, values))


def test_of_two_pools_each_is_told_its_own() -> None:
    """Drafts are of both: prefill hands on the drafting layers' cache and hidden states (`disaggregation/prefill.py`)."""
    keys = {CHUNK: 2048, DRAFTS: 2, QUICK: True, LAYERS: 1, CACHE: "fp8", ARGS: [MODEL]}
    degrees = "parallel: {tp: 1, cp: 1, pp: 1, adp: 16, ep: 16, etp: 1}"
    config = changed(composed("framework=sglang", "hardware.nodes=4", pools(degrees, degrees)), keys)
    prefill, decode = (set(words(pool_config(config, role))) for role in ("prefill", "decode"))
    assert prefill - decode == {"--disaggregation-mode=prefill", "--chunked-prefill-size=32768"}
    assert decode - prefill == {"--disaggregation-mode=decode", DEEPEP, "--deepep-mode=low_latency"}
    assert {*EAGLE, "--kv-cache-dtype=fp8_e4m3"} <= prefill & decode


ASKED = {DRAFTS: 1, LAYERS: 1}
PIPED = changed(PIPE, {"launch.environment": {"SGLANG_ENABLE_PP_SPEC": "1"}})
PIPED = changed(PIPED, {"parallel.tp": 16, "parallel.adp": 1, LAYERS: 1, DRAFTS: 1})
NO_PIPE = "arg_groups/validation_hook.py: with a pipeline only servers of prefill draft, or with SGLANG_ENABLE_PP_SPEC=1 those "
NO_PIPE += "of both phases without attention DP; the plan has pp=4 adp="
FULL = f"token_dispatcher/deepep.py: low-latency kernels have room for {ROOM}=128 tokens of a rank, at most 1024, and "
HALVE = "halves batches between the dispatch and combine of an all-to-all back end, and --moe-a2a-backend is "
BUILT = "batch_overlap/operations_strategy.py halves batches of DeepSeek V2 to V4, Qwen3 MoE and MiMo V2 only; whether "
NO_LAYERS = "--speculative-algorithm EAGLE drafts with the model's own multi-token-prediction layers: workload.draft_tokens=2, and "
PAGES = "arg_groups/validation_hook.py: chunks of workload.prefill_chunk=100 tokens are not whole pages of 64, those of --page-size"
NO_ADP = (
    "arg_groups/overrides.py: --moe-a2a-backend deepep sets ep_size to tp_size=16 without a word, and the plan has ep=4"
)
KEEP = "write launch.environment." + ROOM
REFUSED: list[tuple[str, Config, dict[str, Any], str, str, str]] = [
    # rule, a plan that keeps it, what breaks it, status, the whole message after the version, the whole fix
    (
        "sglang-draft-layers",
        BASE,
        {DRAFTS: 2},
        "fail",
        NO_LAYERS + "moe_30b has model.num_nextn_predict_layers=0",
        "write workload.draft_tokens=0, or a model that has such layers",
    ),
    (
        "sglang-draft-pipeline",
        changed(PIPE, {**ASKED, ROLE: "prefill"}),
        {ROLE: "decode"},
        "fail",
        NO_PIPE + "4, decode",
        "write pp1, or workload.draft_tokens=0",
    ),
    (
        "sglang-draft-pipeline",
        PIPED,
        {"parallel.tp": 4, "parallel.adp": 4},
        "fail",
        NO_PIPE + "4, both phases",
        "write pp1, or workload.draft_tokens=0",
    ),
    (
        "sglang-cache-unsaid",
        BASE,
        {ARGS: [MODEL, "--kv-cache-dtype=fp8_e4m3"]},
        "warn",
        "is started with --kv-cache-dtype=fp8_e4m3, and the plan's memory and times are of a cache as wide as activations",
        "write workload.kv_cache_precision=fp8 or bf16 in the place of --kv-cache-dtype",
    ),
    (
        "sglang-chunk-page",
        changed(BASE, {CHUNK: 128, ARGS: [MODEL, "--page-size=64"]}),
        {CHUNK: 100},
        "fail",
        PAGES,
        "write workload.prefill_chunk=128",
    ),
    (
        "sglang-two-batch",
        changed(BASE, {HALVES: True, ARGS: [MODEL, DEEPEP]}),
        {ARGS: [MODEL], ROLE: "decode"},
        "fail",
        HALVE + "none",
        "add --moe-a2a-backend=deepep to workload.pools.decode.args, or leave workload.two_batch_overlap out",
    ),
    (
        "sglang-two-batch-prefill",
        changed(BASE, {HALVES: True, ARGS: [MODEL, DEEPEP]}),
        {ARGS: [MODEL, DEEPEP, "--deepep-mode=low_latency"]},
        "fail",
        "batch_overlap/two_batch_overlap.py leaves prompts whole with --deepep-mode low_latency",
        "leave --deepep-mode out, or leave workload.two_batch_overlap out",
    ),
    (
        "sglang-two-batch-model",
        BASE,
        {HALVES: True},
        "warn",
        BUILT + "moe_30b is built like one of them is not known",
        "leave workload.two_batch_overlap out where it is not",
    ),
    (
        "sglang-dispatch-room",
        changed(BASE, {QUICK: True}),
        {"launch.environment": {ROOM: "2048"}},
        "fail",
        FULL.replace("=128", "=2048") + "one sequence has 1 in a step of decode",
        KEEP + "=1024",
    ),
    (
        "sglang-dispatch-room",
        changed(BASE, {QUICK: True}),
        {DRAFTS: 600},
        "fail",
        FULL + "one sequence has 151 in a step of decode",
        KEEP + "=151",
    ),
    (
        "sglang-a2a-ep",
        changed(BASE, {QUICK: True}),
        {"parallel.ep": 4, "parallel.etp": 4},
        "fail",
        NO_ADP,
        "write parallel.dp=null parallel.adp=4 parallel.ep=16 parallel.etp=1, or leave workload.low_latency_dispatch out",
    ),
]


@pytest.mark.parametrize(("name", "config", "values", "status", "message", "fix"), REFUSED)
def test_a_pass_is_refused(
    name: str, config: Config, values: dict[str, Any], status: str, message: str, fix: str
) -> None:
    assert name not in checks(config) or checks(config)[name].status == "pass"
    found = checks(changed(config, values))[name]
    assert (found.status, found.message, found.fix) == (status, f"SGLang 0.5.23 {message}", fix)


def test_every_rule_of_passes_has_a_case() -> None:
    modules = (compiler.frameworks.asked, compiler.frameworks.sglang.pass_rules)
    texts = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules]
    found = {name for text in texts for name in re.findall(r'"(?:sglang|\{config.framework.name\})-([a-z-]+)"', text)}
    assert len(found) == 11
    cases = {name for name, *_ in (*REFUSED, *contexts.CASES)}
    assert {f"sglang-{name}" for name in found} - cases == {"sglang-dispatch-tokens"}


def test_sequences_that_low_latency_kernels_have_no_room_for_wait() -> None:
    """Four ranks of attention DP, each over four of tp, which share its tokens: 512 of each run."""
    config = changed(BASE, {QUICK: True, BATCH: 4 * 600})
    assert f"--max-running-requests={4 * 512}" in words(config)
    (many,) = adapter("sglang").running(config, 4 * 600)
    assert (many.status, many.fix) == ("warn", f"{KEEP}=150, or a smaller workload.global_batch_size")
    assert "--max-running-requests lets 512 of each attention DP rank run, and 88 wait" in many.message
    (few,) = adapter("sglang").running(config, 4 * 512)
    assert few.status == "pass"
    assert list(adapter("sglang").running(changed(BASE, {BATCH: 4 * 600}), 4 * 600)) == []


def test_prompts_are_interleaved_for_context_parallelism_unless_somebody_says() -> None:
    config = changed(BASE, {"parallel.cp": 2, "parallel.adp": 2})
    assert "--cp-strategy=interleave" in words(config)
    assert "--cp-strategy=interleave" not in words(changed(config, {ARGS: [MODEL, "--cp-strategy=zigzag"]}))
