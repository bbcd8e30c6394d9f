"""How many requests the memory of a server holds, by its own defaults, and how wide their cache is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.rows.hardware import nominal
from compiler.costs.case import Case, case
from compiler.costs.constants import MOST_REQUESTS
from compiler.costs.room import admitted, fitting, given
from compiler.costs.shape import shape
from compiler.costs.work.flops import core
from compiler.costs.work.forward import one_token
from compiler.costs.work.memory import kv_cache, memory
from compiler.costs.work.mixing import cache_bytes
from compiler.costs.work.params import Counts, counts, totals
from compiler.frameworks.adapter import adapter, servers
from compiler.layout.traits import LEAST, Room
from compiler.specs.config import Config, Framework
from tests.costed import kv_token, under
from tests.worlds import DEEPSEEK_V3, LLAMA_70B, SERVE, world

H100 = nominal("h100_80gb")


def served(framework: str, degrees: str = "tp4", **changes: object) -> tuple[Case, Counts]:
    workload = replace(SERVE, **{"sequence_lengths": [4096], "output_length": 2048, **changes})  # type: ignore[arg-type]
    this = case(under(world(degrees, LLAMA_70B, workload, H100), framework))
    return this, counts(this, totals(this.model))


@pytest.mark.parametrize(
    ("framework", "precision", "asked", "size"),
    [
        ("none", "fp8", None, 1),
        ("none", "bf16", None, 2),
        ("vllm", "fp8", None, 2),
        ("sglang", "nvfp4", None, 2),
        ("tensorrt_llm", "fp8", None, 2),
        ("vllm", "fp8", "fp8", 1),
        ("sglang", "bf16", "fp8", 1),
        ("none", "nvfp4", "bf16", 2),
    ],
)
def test_a_server_caches_as_wide_as_activations_unless_it_is_told(
    framework: str, precision: str, asked: str | None, size: int
) -> None:
    this, _ = served(framework, precision=precision, kv_cache_precision=asked)
    assert float(kv_token(this)[0]) == size * 2 * 128 * 8 / 4


def room(this: Case, held: Counts, answered: float) -> float:
    """Bytes of the cache of the requests that are let in, each with a part of its answer."""
    output = round(answered * this.workload.output_length)
    one = replace(this, workload=replace(this.workload, global_batch_size=1, output_length=output))
    return float(admitted(this, held)) * float(kv_cache(one).max())


@pytest.mark.parametrize("framework", [*servers(), "none"])
def test_the_cache_gets_what_the_server_gives_it(framework: str) -> None:
    this, held = served(framework)
    found, capacity = memory(this, held), H100.gpu.memory_bytes
    own = float(found.weights_bytes.max())
    rest = float((found.activations_bytes + found.other_bytes).max())
    expected = {
        "vllm": 0.92 * capacity - own - 3.9e9,
        "sglang": 0.82 * capacity - own,
        "tensorrt_llm": 0.9 * (capacity - own - rest),
        "none": capacity - own - rest,
    }
    answered = 0.5 if framework in ("vllm", "sglang") else 1.0
    assert room(this, held, answered) == pytest.approx(expected[framework])


def test_a_server_without_room_for_a_cache_is_given_some() -> None:
    this, held = served("sglang")
    found, capacity = memory(this, held), H100.gpu.memory_bytes
    nothing = 0 * found.other_bytes

    def left(weights: float) -> float:
        return float(
            given(
                this, replace(found, weights_bytes=nothing + weights, activations_bytes=nothing, other_bytes=nothing)
            ).max()
        )

    assert left(0.80 * capacity) == pytest.approx(LEAST * capacity)
    assert left(0.97 * capacity) == pytest.approx(0.03 * capacity)
    assert left(1.20 * capacity) == 0


def test_at_least_one_runs_and_no_more_than_a_scheduler_takes() -> None:
    assert float(admitted(*served("vllm", "tp1"))) == 1
    assert float(admitted(*served("none", "tp8", sequence_lengths=[1], output_length=1))) == MOST_REQUESTS


def test_the_largest_batch_is_the_servers() -> None:
    """Whole sequences: vLLM keeps 8 % of the memory for itself, and so fewer fit."""
    this, held = served("none")
    vllm = served("vllm")[0]
    assert 0 < float(fitting(vllm, held, 6144)) < float(fitting(this, held, 6144))
    narrow = replace(vllm, workload=replace(vllm.workload, kv_cache_precision="fp8"))
    twice = 2 * float(fitting(vllm, held, 6144))
    assert np.isclose(float(fitting(narrow, held, 6144)), twice, atol=1.0)


@pytest.mark.parametrize(
    ("name", "args", "share"),
    [
        ("vllm", [], 0.92),
        ("vllm", ["org/model", "--gpu-memory-utilization=0.8"], 0.8),
        ("vllm", ["--gpu_memory_utilization", "0.95"], 0.95),
        ("sglang", ["--mem-fraction-static", "0.7", "--mem-fraction-static=0.9"], 0.9),
        ("tensorrt_llm", ["--kv_cache_free_gpu_memory_fraction", "0.5"], 0.5),
        ("vllm", ["--gpu-memory-utilization=much"], 0.92),
        ("vllm", ["--gpu-memory-utilization=9"], 0.92),
        ("vllm", ["--gpu-memory-utilization"], 0.92),
    ],
)
def test_the_share_is_what_the_arguments_ask_for(name: str, args: list[str], share: float) -> None:
    usual, found = (adapter(name).traits(config).room for config in (_of(name), _of(name, *args)))
    assert (found.share, found.of_all) == (share, usual.of_all)
    assert found.least == (usual.least if share == usual.share else 0)


def _of(name: str, *args: str) -> Config:
    return replace(world("tp4", LLAMA_70B, SERVE, H100).config, framework=Framework(name=name, args=list(args)))


def test_other_frameworks_are_no_servers() -> None:
    traits = adapter("megatron").traits(_of("megatron", "--gpu-memory-utilization=0.8"))
    assert (traits.serves, traits.room) == (False, Room())


def test_an_engine_looks_for_requests_as_seldom_as_it_is_told() -> None:
    asked = [adapter("sglang").traits(_of("sglang", *args)).interval for args in ([], ["--scheduler-recv-interval=30"])]
    assert asked == [1, 30]


def test_a_step_reads_its_part_of_the_cache() -> None:
    """Decode context parallelism shares it out among tp ranks, which then gather the heads: they compute as much."""
    found, share = world("tp8", DEEPSEEK_V3, SERVE, H100), "--decode-context-parallel-size=8"
    alone, apart = (shape(under(found, "vllm", *args)).case for args in ((), (share,)))
    one, eighth = (one_token(this, 4096) for this in (alone, apart))
    assert float(kv_cache(alone)[0]) == 8 * float(kv_cache(apart)[0])
    assert float(cache_bytes(alone, one)[0]) == 8 * float(cache_bytes(apart, eighth)[0])
    assert float(core(alone, one)[0]) == float(core(apart, eighth)[0])


@pytest.mark.parametrize("framework", ["vllm", "sglang"])
@pytest.mark.parametrize(("precision", "row"), [("bf16", 2 * 576), ("fp8", 656)])
def test_a_key_of_an_indexer_is_as_wide_in_any_cache(framework: str, precision: str, row: int) -> None:
    """128 bytes of FP8 and a scale of FP32, beside latents that FP8 packs with their scales on Hopper."""
    model = replace(DEEPSEEK_V3, index_topk=2048, architectures=["DeepseekV32ForCausalLM"])
    found = world("tp8", model, replace(SERVE, precision="bf16", kv_cache_precision=precision), H100)
    assert float(kv_token(case(under(found, framework)))[0]) == row + 132


def test_layers_that_draft_have_a_cache_where_they_are() -> None:
    drafts, plain = (
        kv_cache(case(world("ep8_pp4", DEEPSEEK_V3, replace(SERVE, draft_tokens=count), H100))) for count in (2, 0)
    )
    sequences, tokens = 128 / 8, 10_240 + 1024
    assert (drafts - plain).tolist() == [0, 0, 0, sequences * tokens * 576 * 2]
