"""Prefill and decode held against each other by their engine's rules, and against the pods that they lie in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compiler import CompilerError, compile_plan
from compiler.checks import Check
from tests.pooled_plans import pools

BASE = ["model=qwen3_30b_a3b", "hardware=h100_80gb", "scheduler=slurm", "workload.precision=bf16"]
DEEP = ["model=deepseek_v3", "hardware=h200", "scheduler=slurm"]


def refused(*overrides: str) -> str:
    with pytest.raises(CompilerError) as error:
        compile_plan(list(overrides))
    return str(error.value)


def checks(*overrides: str) -> dict[str, Check]:
    return {check.id: check for check in compile_plan(list(overrides)).checks}


def on(framework: str, prefill: str, decode: str, nodes: int = 2, *more: str) -> list[str]:
    return [*BASE, f"framework={framework}", f"hardware.nodes={nodes}", pools(prefill, decode), *more]


@pytest.mark.parametrize(
    ("framework", "prefill", "decode", "said"),
    [
        ("sglang", "parallel: tp4_pp2", "parallel: tp2_pp4", "decode has pp=4 and prefill pp=2: SGLang 0.5.23"),
        ("sglang", "parallel: tp8", "parallel: tp4_pp2", "wants pp of decode to be 1 or prefill's 1"),
        ("sglang", "parallel: tp8", "parallel: tp4_cp2_etp8", "decode has cp=2: SGLang 0.5.23"),
        (
            "vllm",
            "parallel: tp4_pp2, instances: 1",
            "parallel: tp4_pp2",
            "decode has pp=2 and prefill pp=2: vLLM 0.33.0",
        ),
        (
            "sglang",
            "parallel: tp8, args: ['--page-size=64']",
            "parallel: tp8, args: ['--page-size=32']",
            "--page-size is 64 in prefill and 32 in decode",
        ),
        (
            "sglang",
            "parallel: tp8, args: ['--disaggregation-transfer-backend=nixl']",
            "parallel: tp8",
            "--disaggregation-transfer-backend is nixl in prefill and its default in decode",
        ),
        (
            "sglang",
            "parallel: tp8",
            "parallel: tp8, args: ['--dcp-size=2']",
            "decode has --dcp-size 2: SGLang 0.5.23",
        ),
        (
            "vllm",
            "parallel: tp8, args: ['--block-size=32']",
            "parallel: tp8, args: ['--block-size=16']",
            "--block-size is 32 in prefill and 16 in decode",
        ),
        (
            "vllm",
            'parallel: tp8, args: [\'--kv-transfer-config={"kv_connector":"LMCacheConnectorV1","kv_role":"kv_producer"}\']',
            "parallel: tp8",
            "decode has the connector NixlConnector and prefill LMCacheConnectorV1",
        ),
    ],
)
def test_pools_that_do_not_fit_are_refused(framework: str, prefill: str, decode: str, said: str) -> None:
    assert said in refused(*on(framework, prefill, decode))


def test_a_fix_of_stages_compiles() -> None:
    overrides = on("sglang", "parallel: tp4_pp2", "parallel: tp2_pp4")
    fixes = re.findall(
        r"workload\.pools\.decode\.parallel=\S+(?: workload\.pools\.decode\.instances=\d+)?", refused(*overrides)
    )
    assert fixes
    for fix in fixes:
        compile_plan([*overrides, *fix.split()])


def test_tp_of_six_and_four_is_no_whole_number_of_ranks() -> None:
    shape = [
        "model.num_attention_heads=24",
        "model.num_key_value_heads=12",
        "model.head_dim=64",
        "hardware.node.gpus=12",
    ]
    said = refused(*on("sglang", "parallel: tp6_adp2", "parallel: tp4_adp3", 2, "model.hidden_size=1536", *shape))
    assert "decode has tp=4 and prefill tp=6: SGLang 0.5.23" in said


def test_heads_are_cut_with_a_warning_and_a_latent_without() -> None:
    found = checks(*on("sglang", "parallel: tp8", "parallel: tp4, instances: 2"))
    assert (found["pools-heads"].status, found["pools-tp"].status) == ("warn", "pass")
    assert "without MLA each transfer is cut by heads" in found["pools-heads"].message
    found = checks(
        *DEEP, "framework=sglang", "hardware.nodes=4", pools("parallel: tp16", "parallel: ep16_tp8_adp2_etp1")
    )
    assert "pools-heads" not in found


def test_equal_stages_and_one_stage_are_taken() -> None:
    for decode in ("parallel: tp4_pp2", "parallel: tp8", "parallel: tp4, instances: 2"):
        found = checks(*on("sglang", "parallel: tp4_pp2", decode))
        assert found["pools-pp"].status == "pass"


def test_transfers_between_pods_are_warned_of() -> None:
    small = ["hardware.fabric.nodes_per_leaf=1", "hardware.fabric.leaves_per_pod=1"]
    found = checks(*on("sglang", "parallel: tp8", "parallel: tp8", 2, *small))["pools-pods"]
    assert (found.status, found.observed) == ("warn", "1 and 1 pods")
    assert "prefill is in pod 0 and decode in pod 1" in found.message
    assert checks(*on("sglang", "parallel: tp8", "parallel: tp8"))["pools-pods"].status == "pass"


GPT_OSS = ["model=gpt_oss_120b", "hardware=h100_80gb", "scheduler=slurm", "framework=sglang", "hardware.nodes=2"]


@pytest.mark.parametrize(
    ("prefill", "more", "refuses"),
    [
        ("parallel: tp8", [], False),
        ("parallel: tp8, args: ['--disaggregation-transfer-backend=nixl']", ["nixl"], True),
        ("parallel: tp4_pp2", [], True),
        ("parallel: tp8", ["framework.version=0.5.21"], True),
    ],
)
def test_caches_with_windows_are_cut_by_heads_in_few_ways(prefill: str, more: list[str], refuses: bool) -> None:
    decode = "parallel: tp4, instances: 2" if prefill == "parallel: tp8" or more else "parallel: tp2, instances: 4"
    if more == ["nixl"]:
        decode, more = f"{decode}, args: ['--disaggregation-transfer-backend=nixl']", []
    overrides = [*GPT_OSS, pools(prefill, decode), *more]
    if refuses:
        assert "moves caches of layers with a window by" in refused(*overrides)
    else:
        assert checks(*overrides)["pools-windows"].status == "pass"


def test_a_sharded_latent_cache_wants_the_same_tp() -> None:
    one = "parallel: tp16, args: ['--enable-kv-cache-sharding']"
    said = refused(*DEEP, "framework=sglang", "hardware.nodes=4", pools(one, "parallel: ep16_tp8_adp2_etp1"))
    assert "wants the same with --enable-kv-cache-sharding" in said


@pytest.mark.parametrize(("pods", "status"), [("ppp", "pass"), ("ppq", "warn"), ("pqq", "warn")])
def test_pods_of_pinned_hosts_are_those_of_the_table(tmp_path: Path, pods: str, status: str) -> None:
    """The second host is prefill's spare: no cache goes there."""
    table = "".join(f"n{i},l{i},{pod},r\n" for i, pod in enumerate(pods))
    (tmp_path / "hosts.csv").write_text("host,leaf,pod,rack\n" + table)
    shape = on("sglang", "parallel: tp8, spare_nodes: 1", "parallel: tp8", 2)
    found = checks(*shape, f"hardware.inventory={tmp_path}/hosts.csv", "hardware.pin=true")
    assert found["pools-pods"].status == status
