"""How many requests the memory of a server holds, by its own defaults, and how wide their cache is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.rows.hardware import nominal
from compiler.costs import servers
from compiler.costs.arrays import array
from compiler.costs.case import Case, case
from compiler.costs.memory import kv_cache, memory
from compiler.costs.params import Counts, counts, totals
from compiler.costs.room import MOST, admitted, fitting
from compiler.costs.servers import LEAST, SERVERS, WHOLE, Room
from compiler.frameworks.adapter import names
from compiler.specs.config import Framework
from tests.costed import kv_token
from tests.worlds import LLAMA_70B, SERVE, world

H100 = nominal("h100_80gb")


def served(framework: str, degrees: str = "tp4", **changes: object) -> tuple[Case, Counts]:
    workload = replace(SERVE, **{"sequence_lengths": [4096], "output_length": 2048, **changes})  # type: ignore[arg-type]
    this = case(world(degrees, LLAMA_70B, workload, H100))
    this = replace(this, framework=framework, room=SERVERS.get(framework, WHOLE))
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


def test_every_server_is_a_framework() -> None:
    assert set(SERVERS) < set(names())


def room(this: Case, held: Counts, answered: float) -> float:
    """Bytes of the cache of the requests that are let in, each with a part of its answer."""
    output = round(answered * this.workload.output_length)
    one = replace(this, workload=replace(this.workload, global_batch_size=1, output_length=output))
    return float(admitted(this, held)) * float(kv_cache(one).max())


@pytest.mark.parametrize("framework", [*SERVERS, "none"])
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
    full = Room(share=0.82, of_all=True, kept_bytes=0.0, least=LEAST)
    assert float(full.cache_bytes(100.0, array(80.0), 1.0)) == pytest.approx(100 * LEAST)
    assert float(full.cache_bytes(100.0, array(97.0), 1.0)) == pytest.approx(2)
    assert float(full.cache_bytes(100.0, array(120.0), 1.0)) == 0


def test_at_least_one_runs_and_no_more_than_a_scheduler_takes() -> None:
    assert float(admitted(*served("vllm", "tp1"))) == 1
    assert float(admitted(*served("none", "tp8", sequence_lengths=[1], output_length=1))) == MOST


def test_the_largest_batch_is_the_servers() -> None:
    """Whole sequences: vLLM keeps 8 % of the memory for itself, and so fewer fit."""
    this, held = served("none")
    vllm = replace(this, framework="vllm", room=SERVERS["vllm"])
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
    found = servers.room(Framework(name=name, args=args))
    assert found is not None
    assert (found.share, found.of_all) == (share, SERVERS[name].of_all)
    assert found.least == (SERVERS[name].least if share == SERVERS[name].share else 0)


def test_other_frameworks_are_no_servers() -> None:
    assert servers.room(Framework(name="megatron", args=["--gpu-memory-utilization=0.8"])) is None
