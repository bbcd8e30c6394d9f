"""Rows of measurements become plans by themselves: degrees, stages and models."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.rows import serving, training
from tests.measured_rows import steps_of


def test_a_row_is_a_plan(tmp_path: Path) -> None:
    world = steps_of(tmp_path).world
    assert world is not None
    config, degrees = world.config, world.degrees
    assert (degrees.tp, degrees.cp, degrees.pp, degrees.vpp, degrees.adp, world.size) == (4, 2, 4, 5, 2, 64)
    assert (config.workload.global_batch_size, config.workload.precision, config.hardware.name) == (
        128,
        "bf16",
        "h100_80gb",
    )
    assert config.model.gated_mlp


@pytest.mark.parametrize(("act", "gated"), [("swiglu", True), ("geglu", True), ("gelu", False), ("relu2", False)])
def test_gated_activations_are_known_by_name(tmp_path: Path, act: str, *, gated: bool) -> None:
    world = steps_of(tmp_path, act=act).world
    assert world is not None
    assert world.config.model.gated_mlp == gated


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mbs": ""}, "no mbs"),
        ({"dp": "3"}, "degrees do not make the number of GPUs"),
        ({"attn": "hybrid mamba2+gqa"}, "no layers of a hybrid"),
        ({"gpu": "Gaudi 3"}, "no file for GPU Gaudi 3"),
        ({"step_time_s": ""}, "no step time and no tokens/s"),
        ({"precision": ""}, "no precision"),
        ({"task": "lora"}, "LoRA adapters"),
    ],
)
def test_a_row_that_lacks_an_input_is_skipped_with_the_reason(
    tmp_path: Path, changes: dict[str, str], why: str
) -> None:
    record = steps_of(tmp_path, **changes)
    assert (record.world, record.skipped) == (None, why)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"tp": "8", "ep": "8", "attn_dp": "1", "moe_tp": "1"}, (8, 1, 8, 1)),
        ({"tp": "64", "ep": "8", "attn_dp": "1", "moe_tp": "8"}, (8, 1, 8, 1)),
        ({"tp": "1", "ep": "8", "attn_dp": "64", "moe_tp": "8"}, (1, 8, 8, 1)),
        ({"tp": "4", "ep": "16", "attn_dp": "4", "moe_tp": "1"}, (1, 4, 4, 1)),
        ({"tp": "4", "ep": "2", "attn_dp": "1", "moe_tp": "2"}, (4, 1, 2, 2)),
        ({"tp": "4", "ep": "1", "attn_dp": "", "moe_tp": "4"}, (4, 1, 1, 4)),
    ],
)
def test_a_rank_of_several_kinds_is_one_rank(columns: dict[str, str], expected: tuple[int, ...]) -> None:
    found = serving.degrees({"pp": "1", **columns})
    assert (found.tp, found.adp, found.ep, found.etp) == expected


@pytest.mark.parametrize(
    ("layers", "parts", "expected"),
    [
        (80, 20, [4] * 20),
        (94, 32, [2, *[3] * 30, 2]),
        (61, 4, [16, 16, 16, 13]),
        (61, 16, [*[4] * 15, 1]),
        (61, 32, [*[2] * 29, 1, 1, 1]),
        (7, 4, [2, 2, 2, 1]),
    ],
)
def test_layers_that_do_not_divide_leave_the_last_stage_fewer(layers: int, parts: int, expected: list[int]) -> None:
    assert training.split(layers, parts) == expected


def test_nemo_counts_a_head_of_several_tokens_as_two_layers(tmp_path: Path) -> None:
    changes = {"layers": "61", "vpp": "1", "mtp_layers": "1"}
    for release, expected in (("nemo-25.05", [15, 16, 16, 14]), ("nemo-25.09", [16, 16, 16, 13])):
        world = steps_of(tmp_path, **changes, release=release).world
        assert world is not None
        assert list(world.config.parallel.stages or []) == expected


def test_stages_that_a_note_draws_are_taken(tmp_path: Path) -> None:
    notes = "recipe X; pp_layout Et*18|(t*21|)*2t*20L; moe_a2a_overlap=True"
    world = steps_of(tmp_path, vpp="1", notes=notes).world
    assert world is not None
    assert list(world.config.parallel.stages or []) == [18, 21, 21, 20]
