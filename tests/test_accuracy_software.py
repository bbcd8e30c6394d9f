"""What a row leaves to its software is as usual for the framework, the release and the GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.rows.hardware import nominal, segmented
from tests.test_accuracy import steps_of


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"fused_attention": True, "sequence_parallel": None}),
        ({"release": "megatron-lm-2022"}, {"fused_attention": False}),
        ({"release": "megatron-lm-2024"}, {"fused_attention": True}),
        ({"framework": "megatron-deepspeed"}, {"fused_attention": False, "sequence_parallel": False}),
        ({"framework": "megatron-deepspeed", "seq_parallel": "1"}, {"sequence_parallel": True}),
        ({"attn": "gqa, alternating sliding window 128/full"}, {"fused_attention": False}),
        ({"moe_balance": "forced balanced, token-drop"}, {"dispatch": "capacity", "imbalance": 1.0}),
        ({"moe_balance": "natural routing"}, {"dispatch": "alltoall", "imbalance": 1.3}),
        ({"moe_dispatcher": "hybridep"}, {"dispatch": "deduplicated"}),
        ({"notes": "recipe X; moe_a2a_overlap=True"}, {"dispatch": "alltoall", "overlapped_dispatch": True}),
        ({"release": "nemo-26.04"}, {"dispatch": "deduplicated", "overlapped_dispatch": False}),
        ({"release": "nemo-26.04", "notes": "recipe X"}, {"dispatch": "alltoall"}),
        ({"release": "nemo-26.06", "intra_node": "NVL72 NVLink5"}, {"overlapped_dispatch": True}),
        ({"ep": "16"}, {"dispatch": "deduplicated"}),
    ],
)
def test_software_does_as_the_row_says_or_as_usual(
    tmp_path: Path, changes: dict[str, str], expected: dict[str, object]
) -> None:
    world = steps_of(tmp_path, **changes).world
    assert world is not None
    assert {name: getattr(world.config.workload, name) for name in expected} == expected


def test_jobs_get_whole_segments_of_a_rack() -> None:
    rack = nominal("gb200_nvl72")
    assert [segmented(rack, gpus).nvlink.domain_gpus for gpus in (64, 128)] == [72, 64]
    assert segmented(nominal("h100_80gb"), 128).nvlink.domain_gpus == 8
