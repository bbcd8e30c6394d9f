"""Products, releases and generations of GPUs are read off names, and an unknown release is as the latest."""

from __future__ import annotations

from compiler import gpus
from compiler.speed import selection


def test_products_and_generations_are_read_off_names() -> None:
    releases = ("megatron/nemo-25.11", "megatron/megatron-lm-2022", "llm-foundry/2023")
    assert [selection.product(name) for name in releases] == ["megatron/nemo", "megatron/megatron-lm", ""]
    clusters = ("a100_40gb", "h200", "gb300_nvl72", "mi300x")
    assert [gpus.generation(name) for name in clusters] == ["ampere", "hopper", "blackwell", ""]


def test_an_unknown_release_is_its_frameworks_latest() -> None:
    table: dict[str, dict[str, dict[str, float]]] = {
        "release": {"megatron/lm-3": {}, "megatron/nemo-25.9": {}, "megatron/nemo-25.11": {}, "vllm/1.0": {}}
    }
    assert selection.release_key(table, "megatron", "lm-9") == "megatron/lm-3"
    assert selection.release_key(table, "megatron", "0.15") == "megatron/nemo-25.11"
    assert selection.release_key(table, "megatron", "nemo-99") == "megatron/nemo-25.11"
    assert selection.release_key(table, "megatron", "nemo-25.9") == "megatron/nemo-25.9"
    assert selection.release_key(table, "maxtext", "1") == ""


def test_a_named_build_is_no_latest_release() -> None:
    table: dict[str, dict[str, dict[str, float]]] = {
        "release": {"vllm/0.9.2": {}, "vllm/0.19.0": {}, "vllm/nightly-5b8": {}, "vllm/": {}}
    }
    assert selection.release_key(table, "vllm", "1.0") == "vllm/0.19.0"
    assert selection.release_key(table, "vllm", "") == "vllm/"
