"""Arguments of servers that change what is costed: read as keys, or costed as they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler import compile_plan
from compiler.costs.constants import PCIE_BANDWIDTH
from compiler.errors import InvariantError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.asked import asked
from compiler.frameworks.options import sizes
from compiler.plan import Plan
from tests.command import BARE
from tests.pooled_plans import pools

SERVER = (BARE, "model=deepseek_v3", "hardware=b200", "hardware.nodes=1", "parallel=adp8_ep8_etp1")


def served(framework: str, *args: str, batch: int = 512, found: float = 0.0) -> Plan:
    words = ",".join(f"'{word}'" for word in args)
    asked = (f"workload.global_batch_size={batch}", f"workload.prefix_share={found}")
    return compile_plan([*SERVER, *asked, f"framework={framework}", f"framework.args=[{words}]"])


def arguments(plan: Plan) -> list[str]:
    emission = adapter(plan.config.framework.name).emission(plan.world)
    return [word for word in emission.arguments if isinstance(word, str)]


def decode_s(plan: Plan) -> float:
    return float(plan.to_dict()["projection"]["serve"]["decode"][0]["tpot_s"])


@pytest.mark.parametrize(
    ("framework", "args", "chunk", "cache", "emitted"),
    [
        ("sglang", ["--chunked-prefill-size", "32768"], 4096, None, "--chunked-prefill-size=32768"),
        ("sglang", ["--chunked-prefill-size=-1"], None, None, "--chunked-prefill-size=-1"),
        ("sglang", ["--kv-cache-dtype=fp8_e4m3"], None, "fp8", "--kv-cache-dtype=fp8_e4m3"),
        ("sglang", ["--kv-cache-dtype=fp8_e5m2"], None, None, "--kv-cache-dtype=fp8_e5m2"),
        ("vllm", ["--max-num-batched-tokens=16384"], 16384, None, "--max-num-batched-tokens=16384"),
        (
            "vllm",
            ["--max-num-batched-tokens=16k", "--enable-chunked-prefill"],
            16000,
            None,
            "--max-num-batched-tokens=16000",
        ),
        ("vllm", ["--kv-cache-dtype", "fp8"], None, "fp8", "--kv-cache-dtype=fp8"),
        (
            "vllm",
            ["--no-enable-chunked-prefill", "--max-num-batched-tokens=40000"],
            None,
            None,
            "--max-num-batched-tokens=40000",
        ),
    ],
)
def test_an_argument_is_read_as_the_key_that_says_it(
    framework: str, args: list[str], chunk: int | None, cache: str | None, emitted: str
) -> None:
    plan = served(framework, *args)
    assert (plan.config.workload.prefill_chunk, plan.config.workload.kv_cache_precision) == (chunk, cache)
    assert arguments(plan).count(emitted) == 1


def test_of_pools_the_chunk_is_of_what_fills_and_the_cache_of_both() -> None:
    own = '"--kv-cache-dtype=fp8_e4m3"'
    parts = pools(
        f'parallel: adp8_ep8_etp1, args: ["--chunked-prefill-size=65536",{own}]',
        f"parallel: adp8_ep8_etp1, args: [{own}]",
    )
    plans = compile_plan([*SERVER, "hardware.nodes=2", "framework=sglang", parts]).parts
    assert plans["prefill"].config.workload.prefill_chunk == 8192
    assert {plan.config.workload.kv_cache_precision for plan in plans.values()} == {"fp8"}
    assert [plan.config.framework.args for plan in plans.values()] == [[], []]


LONG = ("hardware.nodes=2", "workload.sequence_lengths=[32768]", "workload.global_batch_size=64")


def of_pools(framework: str, fill: str, step: str, *more: str) -> list[tuple[int | None, list[str]]]:
    """The chunk that a pool's server is asked for, and the user's arguments that it is left; both pools are adp8_ep8."""
    parts = pools(*(f"parallel: adp8_ep8_etp1, args: [{words}]" for words in (fill, step)))
    plans = compile_plan([*SERVER, *LONG, f"framework={framework}", parts, *more]).parts
    return [(asked(plan.config).chunk, list(plan.config.framework.args)) for plan in plans.values()]


def test_a_pool_cuts_prompts_as_its_own_server_does() -> None:
    quick = "workload.low_latency_dispatch=true"
    assert of_pools("vllm", "", "", quick) == [(16384, []), (None, [])]
    whole = "--no-enable-chunked-prefill"
    assert of_pools("vllm", f'"{whole}"', "") == [(None, [whole]), (None, [])]
    assert of_pools("vllm", "", f'"{whole}"') == [(16384, []), (None, [whole])]


@pytest.mark.parametrize(("framework", "option"), [("vllm", "--max-num-batched-tokens"), ("sglang", "--chunked-prefill-size")])  # fmt: skip
def test_what_decodes_keeps_its_own_option(framework: str, option: str) -> None:
    fill, step = (f'"{option}={tokens}"' for tokens in (8192, 512))
    chunk = 8192 if framework == "vllm" else 1024
    assert of_pools(framework, fill, step) == [(chunk, []), (None, [f"{option}=512"])]
    both = f"framework.args=['{option}=512']"
    assert of_pools(framework, fill, "", both) == [(chunk, []), (None, [f"{option}=512"])]


GRAPHS = [
    ("sglang", ["--disable-cuda-graph"], 0),
    ("sglang", ["--cuda-graph-max-bs=32"], 32),
    ("sglang", ["--cuda-graph-bs-decode", "1", "2", "48"], 48),
    ("vllm", ["--enforce-eager"], 0),
    ("vllm", ["--cudagraph-capture-sizes", "1", "32"], 32),
    ("vllm", ['--compilation-config={"cudagraph_capture_sizes":[1,16]}'], 16),
    ("vllm", ['--compilation-config={"cudagraph_mode":"NONE"}'], 0),
    ("tensorrt_llm", ["/w", "--extra_llm_api_options.cuda_graph_config=null"], 0),
    ("tensorrt_llm", ["/w", "--config.cuda_graph_config.max_batch_size=16"], 16),
    ("tensorrt_llm", ["/w", "--config.cuda_graph_config.batch_sizes=[1,2,8]"], 8),
]


@pytest.mark.parametrize(("framework", "args", "most"), GRAPHS)
def test_decode_beyond_its_graphs_is_launched_kernel_by_kernel(framework: str, args: list[str], most: int) -> None:
    plan = served(framework, *args)
    assert plan.world.traits.graph_batch == most
    assert decode_s(plan) > 1.3 * decode_s(served(framework, *args[: args[:1] == ["/w"]]))
    (told,) = [check.message for check in plan.checks if check.id == "graph-sizes" and check.status == "warn"]
    assert told.startswith(f"64 sequences run on an attention DP rank, and CUDA graphs are captured for up to {most}: ")


def test_decode_within_its_graphs_costs_as_ever() -> None:
    assert decode_s(served("sglang", "--cuda-graph-max-bs=64")) == decode_s(served("sglang"))


def test_numbers_behind_an_option() -> None:
    words = ["--sizes", "1", "x", "3", "--other", "9", "--sizes=7", "--most=5"]
    assert list(sizes(words, ("--sizes", "--most"))) == [1, 3, 7, 5]


@pytest.mark.parametrize(
    ("framework", "args", "status", "message"),
    [
        ("tensorrt_llm", ["/w", "--config.moe_config.backend=MARLIN"], "warn", "MARLIN is none of them"),
    ],
)
def test_kernels_have_the_names_that_a_release_knows(
    framework: str, args: list[str], status: str, message: str
) -> None:
    config = compile_plan([*SERVER, f"framework={framework}"]).config
    config = replace(config, framework=replace(config.framework, args=args))
    (found,) = [item for item in adapter(framework).declared(config) if item.id == f"{framework}-choice"]
    assert found.status == status
    assert message in str(found.problem)


def test_experts_outputs_in_fp8_take_half_the_way_back() -> None:
    plain, narrow = (
        served("tensorrt_llm", "/w", *args)
        for args in ((), ("--config.moe_config.use_low_precision_moe_combine=true",))
    )
    found = [
        {row["role"]: row["bytes_per_call"] for row in plan.to_dict()["communication"] if row["kind"] == "ep"}
        for plan in (plain, narrow)
    ]
    assert found[1]["combine"] == found[0]["combine"] / 2
    assert found[1]["dispatch"] == found[0]["dispatch"]
    assert decode_s(narrow) < decode_s(plain)


@pytest.mark.parametrize(
    ("number", "flag"),
    [
        ("0.5.11", "--enable-dp-attention"),
        ("0.5.21", "--enable-dp-attention"),
        ("0.5.23", "--attn-dp-size=8"),
        ("0.6.1", "--attn-dp-size=8"),
        ("nightly", "--attn-dp-size=8"),
    ],
)
def test_a_release_without_rules_has_those_of_the_nearest(number: str, flag: str) -> None:
    plan = compile_plan([*SERVER, "framework=sglang", f"framework.version={number}"])
    assert flag in arguments(plan)
    (told,) = [check for check in plan.checks if check.id == "framework-version"]
    assert (told.status == "warn") == (number not in ("0.5.21", "0.5.23"))


@pytest.mark.parametrize("number", ["32", '"32"'])
def test_redundant_experts_of_vllm_are_held(number: str) -> None:
    eplb = f'--eplb-config={{"num_redundant_experts":{number}}}'
    plan = served("vllm", "/w", "--enable-eplb", eplb)
    assert plan.world.experts.redundant == 32
    assert plan.rank_map["experts"].tolist()[7] == "0-31;252-255"


@pytest.mark.parametrize(
    ("framework", "args"),
    [
        ("vllm", ["/w", "--no-enable-prefix-caching"]),
        ("vllm", ["/w", "--no_enable_prefix_caching"]),
        ("sglang", ["--disable-radix-cache"]),
        ("sglang", ["--disable-radix"]),
        ("tensorrt_llm", ["/w", "--config.kv_cache_config.enable_block_reuse=false"]),
        ("tensorrt_llm", ["/w", "--config.kv_cache_config.enable_block_reuse=FALSE"]),
    ],
)
def test_a_server_that_forgets_prefixes_finds_none(framework: str, args: list[str]) -> None:
    with pytest.raises(InvariantError, match=rf"workload.prefix_share=0.5 of each prompt is found.*{args[-1][:12]}"):
        served(framework, *args, found=0.5)
    (kept,) = [item for item in served(framework, *args[:-1], found=0.5).checks if item.id == "prefix-cache"]
    assert kept.status == "pass"
    assert not [item for item in served(framework, *args).checks if item.id == "prefix-cache"]


@pytest.mark.parametrize("framework", ["vllm", "sglang"])
def test_weights_on_the_host_make_room_and_come_over_pcie_in_every_step(framework: str) -> None:
    first = ["/w"] if framework == "vllm" else []
    usual, there = (served(framework, *first, *args) for args in ((), ("--cpu-offload-gb=2",)))
    found = [plan.to_dict()["memory"]["weights_bytes"] for plan in (usual, there)]
    assert found[0] - found[1] == 2**31
    assert decode_s(there) - decode_s(usual) == pytest.approx(2**31 / PCIE_BANDWIDTH, rel=0.2)


def test_no_more_weights_go_to_the_host_than_there_are() -> None:
    assert served("vllm", "/w", "--cpu-offload-gb=4000").to_dict()["memory"]["weights_bytes"] == 0


@pytest.mark.parametrize(
    ("framework", "args"),
    [
        ("vllm", ["/w", "--kv-offloading-size=10"]),
        ("sglang", ["--enable-hierarchical-cache"]),
        ("tensorrt_llm", ["/w", "--config.kv_cache_config.host_cache_size=10000000"]),
    ],
)
def test_caches_on_the_host_are_said_to_be_uncosted(framework: str, args: list[str]) -> None:
    (found,) = [item for item in served(framework, *args).checks if item.id == "framework-uncosted"]
    assert found.status == "warn"
    assert "keys and values that wait in the host's memory" in found.message
