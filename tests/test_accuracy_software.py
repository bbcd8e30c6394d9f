"""What a row leaves to its software is as usual for the framework, the release and the GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.rows.hardware import nominal, segmented
from compiler.specs.states import States
from tests.measured_rows import steps_of

RACK = {"gpu": "GB200", "intra_node": "NVL72 NVLink5", "gpus_per_node": "4"}
ALONE = {"tp": "1", "pp": "1", "cp": "1", "vpp": "1", "dp": "64"}
EXPERTS = {"experts": "8", "topk": "2", "moe_dispatcher": "hybridep"}
MLA = {"attn": "mla", "gpu": "B200 SXM", "recompute": ""}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"fused_attention": True, "sequence_parallel": None}),
        ({"release": "megatron-lm-2022"}, {"fused_attention": False}),
        ({"release": "megatron-lm-2024"}, {"fused_attention": True}),
        ({"framework": "megatron-deepspeed"}, {"fused_attention": False, "sequence_parallel": False}),
        ({"framework": "megatron-deepspeed", "seq_parallel": "1"}, {"sequence_parallel": True}),
        ({"attn": "gqa, alternating sliding window 128/full"}, {"fused_attention": True}),
        ({**MLA, "release": "nemo-25.05"}, {"fused_attention": False, "recompute": "selective"}),
        ({**MLA, "release": "nemo-25.09"}, {"fused_attention": True, "recompute": "none"}),
        ({**MLA, "release": "nemo-25.05", "gpu": "H100 SXM 80GB"}, {"fused_attention": True}),
        ({"release": "nemo-25.05"}, {"dispatch": "capacity"}),
        ({"moe_balance": "forced balanced, token-drop"}, {"dispatch": "capacity", "imbalance": 1.0}),
        ({"moe_balance": "natural routing"}, {"dispatch": "alltoall", "imbalance": 1.3}),
        ({"moe_dispatcher": "hybridep", "release": "nemo-25.05"}, {"dispatch": "deduplicated"}),
        ({"moe_dispatcher": "alltoall", "ep": "16"}, {"dispatch": "alltoall", "overlapped_dispatch": False}),
        ({"notes": "recipe X; moe_a2a_overlap=True"}, {"dispatch": "alltoall", "overlapped_dispatch": True}),
        ({"release": "nemo-26.04"}, {"dispatch": "deduplicated", "overlapped_dispatch": False}),
        ({"release": "nemo-26.04", "notes": "recipe X"}, {"dispatch": "alltoall"}),
        ({"release": "nemo-26.06", "intra_node": "NVL72 NVLink5"}, {"overlapped_dispatch": True}),
        ({"ep": "16"}, {"dispatch": "deduplicated", "overlapped_dispatch": True}),
        ({"ep": "16", "vpp": "1"}, {"dispatch": "deduplicated", "overlapped_dispatch": False}),
        ({}, {"states": States(gradients="bf16")}),
        ({"release": "megatron-lm-2026-05"}, {"states": States()}),
        ({"attn": "mla"}, {"states": States(gradients="bf16", exp_avg="bf16", exp_avg_sq="bf16")}),
        ({"attn": "mla", "release": "nemo-25.05"}, {"states": States(gradients="bf16")}),
        ({"recompute": "cpu offload 40 layers"}, {"activation_offload": 0.5, "recompute": "none"}),
        ({**RACK, **ALONE}, {"cuda_graphs": "step"}),
        ({**RACK, **ALONE, "release": "nemo-25.05"}, {"cuda_graphs": "none"}),
        ({**ALONE}, {"cuda_graphs": "none"}),
        (RACK, {"cuda_graphs": "none"}),
        ({**RACK, **EXPERTS}, {"cuda_graphs": "layer"}),
        ({**RACK, **EXPERTS, "moe_dispatcher": "alltoall"}, {"cuda_graphs": "none"}),
        ({**RACK, **EXPERTS, "recompute": "selective: layernorm"}, {"cuda_graphs": "none"}),
        ({**RACK, **EXPERTS, "release": "nemo-26.06", "precision": "MXFP8"}, {"cuda_graphs": "step"}),
        ({**EXPERTS, "gpu": "B200", "vpp": "1"}, {"cuda_graphs": "none"}),
        ({"framework": "torchtitan", "mbs": "64"}, {"micro_batch_size": 3}),
        ({"framework": "torchtitan", "mbs": "8"}, {"micro_batch_size": 8}),
        ({"framework": "torchtitan", "mbs": "64", "tp": "16", "pp": "1"}, {"micro_batch_size": 64}),
    ],
)
def test_software_does_as_the_row_says_or_as_usual(
    tmp_path: Path, changes: dict[str, str], expected: dict[str, object]
) -> None:
    world = steps_of(tmp_path, **{"release": "nemo-25.09"} | changes).world
    assert world is not None
    assert {name: getattr(world.config.workload, name) for name in expected} == expected


def test_jobs_get_whole_segments_of_a_rack() -> None:
    rack = nominal("gb200_nvl72")
    assert [segmented(rack, gpus).nvlink.domain_gpus for gpus in (64, 128)] == [72, 64]
    assert segmented(nominal("h100_80gb"), 128).nvlink.domain_gpus == 8


@pytest.mark.parametrize(
    ("changes", "fused"),
    [
        ({}, True),
        ({"release": "megatron-lm-2022"}, False),
        ({"framework": "torchtitan"}, False),
        ({"framework": "megatron-deepspeed"}, False),
        ({"framework": "llm-foundry"}, True),
        ({"extra_args": "--x"}, False),
        ({"extra_args": "cross-entropy-loss-fusion=True"}, True),
    ],
)
def test_the_loss_is_fused_where_software_does_it(tmp_path: Path, changes: dict[str, str], *, fused: bool) -> None:
    world = steps_of(tmp_path, **changes).world
    assert world is not None
    assert world.traits.fused_loss == fused


def test_a_network_that_is_not_stated_is_as_usual(tmp_path: Path) -> None:
    """400 Gb/s beside a B300, whose own card has 800."""
    stated, usual = (steps_of(tmp_path, gpu="B300", inter_node_gbps_per_gpu=x).world for x in ("800", ""))
    assert stated is not None
    assert usual is not None
    assert (stated.config.hardware.nic.bandwidth, usual.config.hardware.nic.bandwidth) == (100e9, 50e9)
