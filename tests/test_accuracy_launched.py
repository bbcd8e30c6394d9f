"""What published scripts launch the servers of rows with, where no column says it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import judgement
from benchmarks.rows import launched, serving
from benchmarks.rows.record import Cells
from compiler.specs.degrees import Parallel
from compiler.specs.weights import Quantization, Stored
from tests.served_rows import times
from tests.worlds import DEEPSEEK_V3, LLAMA_8B


def row(backend: str, version: str, gpu: str, precision: str = "fp8 (gemm fp8, moe fp8)") -> Cells:
    return Cells(backend=backend, backend_version=version, gpu=gpu, precision=precision)


@pytest.mark.parametrize(
    ("backend", "version", "gpu", "weights", "cached"),
    [
        ("sglang", "0.5.9", "b200_sxm", "fp8", "fp8"),
        ("sglang", "0.5.9", "h200_sxm", "fp8", "bf16"),
        ("vllm", "0.19.0", "b200_sxm", "fp8", "fp8"),
        ("vllm", "0.17.0", "b200_sxm", "fp8", "bf16"),
        ("vllm", "0.17.0", "b200_sxm", "nvfp4", "fp8"),
        ("vllm", "0.18.0", "h100_sxm", "fp8", "bf16"),
        ("trtllm", "1.0.0rc3", "h100_sxm", "fp8", "fp8"),
        ("trtllm", "", "h200_sxm", "nvfp4", "bf16"),
        ("trtllm", "", "gb200", "nvfp4", "fp8"),
        ("trtllm", "", "h100_sxm", "bf16", None),
        ("", "", "H800 SXM", "fp8", "fp8"),
    ],
)
def test_a_cache_is_as_narrow_as_it_was_asked_for(
    backend: str, version: str, gpu: str, weights: str, cached: str | None
) -> None:
    assert launched.cached(row(backend, version, gpu), weights) == cached


def test_weights_alone_are_of_four_bits() -> None:
    integers = row("vllm", "0.19.0", "b200_sxm", "int4 (gemm int4_wo, moe int4_wo)")
    assert serving.precision(integers, LLAMA_8B) == "nvfp4"
    assert launched.cached(integers, "nvfp4") == "bf16"


def test_a_model_that_has_four_bits_is_not_widened() -> None:
    narrow = replace(LLAMA_8B, quantization=Quantization("mxfp4", {"mlp": Stored("mxfp4", 4.25)}))
    assert serving.precision(row("trtllm", "", "h200_sxm"), narrow) == "fp4"
    assert serving.precision(row("trtllm", "", "h200_sxm"), LLAMA_8B) == "fp8"


@pytest.mark.parametrize(("version", "adp", "drafts"), [("1.2.0rc6.post3", 1, 3), ("1.2.0rc6.post3", 8, 1), ("", 1, 0)])
def test_a_release_that_drafts_does_so_with_the_models_own_layers(version: str, adp: int, drafts: int) -> None:
    ran = row("trtllm", version, "b200_sxm")
    assert launched.drafts(ran, DEEPSEEK_V3, Parallel(adp=adp)) == drafts
    assert launched.drafts(ran, LLAMA_8B, Parallel(adp=adp)) == 0


@pytest.mark.parametrize(
    ("prompt", "output", "requests"), [(1000, 1000, 3000), (8192, 1024, 1500), (1024, 8192, 1500), (32768, 1024, 1000)]
)
def test_a_run_at_the_most_throughput_has_as_many_requests_as_its_lengths_say(
    prompt: int, output: int, requests: int
) -> None:
    assert launched.requests(prompt, output) == requests


def made(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_token_that_came_faster_than_memory_is_read_is_no_measurement(tmp_path: Path) -> None:
    (possible, impossible) = (
        times(made(tmp_path / name), tpot_ms=value)["tpot"] for name, value in (("a", "20"), ("b", "0.1"))
    )
    assert [judgement.reason(item) for item in judgement.judge([possible])] == [""]
    assert [judgement.reason(item) for item in judgement.judge([impossible])] == ["faster than memory is read"]
