"""The groups that Megatron adds to a plan, which ranks they hold, and rows of the vocabulary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler import invariants
from compiler.commands.folder import read
from compiler.commands.lookup import rank_answer, slot_answer
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.megatron import layout
from compiler.layout.grid import GroupKind
from compiler.passes import compile_config
from tests.configs import changed, composed
from tests.megatron_configs import DENSE, MAPPED, TRAIN, args, checks, words


def test_an_instance_that_would_hold_part_of_a_cp_group() -> None:
    values = {**MAPPED, "parallel.cp": 2, "parallel.adp": 3, **args("--num-distributed-optimizer-instances", "2")}
    found = checks(changed(DENSE, values))["megatron-optimizer-instances"]
    assert found.status == "fail"
    assert "adp*cp = 6 ranks and edp = 3" in found.message
    runs = GroupKind(((4, 1), (6, 100)), ())
    assert layout.sliced(runs, 8) is None
    assert layout.sliced(GroupKind(((4, 1), (6, 4)), ()), 2) == GroupKind(((12, 1),), ((2, 12),))
    assert layout.sliced(runs, 3) == GroupKind(((4, 1), (2, 100)), ((1, 4), (3, 200)))
    assert layout.sliced(runs, 12) == GroupKind(((2, 1), (1, 100)), ((2, 2), (6, 100)))


def test_the_strategy_is_expressible_as_it_is_written() -> None:
    plan = compile_config(TRAIN)
    assert plan.world_size == 1024
    assert plan.groups["ep"][0].tolist() == list(range(0, 64, 4))
    assert plan.groups["edp"][0].tolist() == [0, 64, 128, 192]
    assert plan.groups["megatron.embd"].tolist() == [[rank] for rank in range(256)]


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ({}, [0]),
        ({"model.tie_word_embeddings": True}, [0, 768]),
        ({"model.num_nextn_predict_layers": 1}, [0, 768]),
        ({"workload.kind": "serve", "workload.sequence_lengths": [128]}, [0, 768]),
    ],
)
def test_the_embedding_group_follows_the_model(values: dict[str, Any], first: list[int]) -> None:
    world = lay_out(changed(TRAIN, values))
    assert world.groups["megatron.embd"][0].tolist() == first
    assert world.groups["megatron.pos_embd"].tolist() == [[rank] for rank in range(256)]


def test_groups_of_levels_and_instances() -> None:
    values = {"parallel.cp": 4, "parallel.dp": 1, **args("--hierarchical-context-parallel-sizes", "2", "2", "--num-distributed-optimizer-instances", "2")}  # fmt: skip
    groups = lay_out(changed(TRAIN, values)).groups
    assert groups["megatron.hcp.0"][:2].tolist() == [[0, 4], [8, 12]]
    assert groups["megatron.hcp.1"][:2].tolist() == [[0, 8], [4, 12]]
    assert groups["megatron.intra_ep_dp"][:2].tolist() == [[0, 64], [128, 192]]
    assert groups["megatron.inter_ep_dp"][:2].tolist() == [[0, 128], [64, 192]]
    assert groups["megatron.intra_dp_cp"][:2, :3].tolist() == [[0, 4, 8], [128, 132, 136]]
    assert groups["megatron.intra_dist_opt_instance"].shape == (2, 512)
    assert not any("hcp" in kind or "intra_dp" in kind for kind in lay_out(TRAIN).kinds)


def test_older_versions_have_no_weight_remat_groups() -> None:
    kinds = lay_out(changed(TRAIN, {"framework.version": "0.16.1"})).kinds
    assert "megatron.gtp_remat" in lay_out(TRAIN).kinds
    assert not any("remat" in kind for kind in kinds)


def test_ranks_in_no_embedding_group_are_shown_without_one(tmp_path: Path) -> None:
    config = composed("framework=megatron", "workload=train", "parallel=ep2_tp2_pp2_dp2", "hardware.nodes=2")
    plan = compile_config(changed(config, {"workload.global_batch_size": 16}))
    folder = read(plan.write(tmp_path))
    first = {item.group.partition("/")[0] for item in rank_answer(folder, 0).groups}
    last = {item.group.partition("/")[0] for item in rank_answer(folder, 15).groups}
    assert first - last == {"megatron.embd", "megatron.pos_embd"}
    assert "megatron.embd" not in {item.kind for item in slot_answer(folder, 1, "slot=1").groups}
    rows = (tmp_path / plan.name / "nccl_groups.csv").read_text().splitlines()
    assert "megatron.embd,7,1,gpu,7" in rows


def test_a_kind_of_the_plans_own_still_needs_every_rank() -> None:
    world = lay_out(TRAIN)
    assert {check.id: check.status for check in invariants.laid_out(world)}["partitions"] == "pass"
    broken = replace(world, kinds={**world.kinds, "tp": world.kinds["megatron.embd"]})
    found = next(check for check in invariants.laid_out(broken) if check.id == "partitions")
    assert found.message == "kinds tp do not partition 1024 ranks"


def test_a_dense_model_may_have_pp_before_dp() -> None:
    config = changed(DENSE, MAPPED)
    assert "fail" not in {check.status for check in invariants.laid_out(lay_out(config))}
    assert words(config)["--use-tp-pp-dp-mapping"] == ()
    assert words(config)["--expert-tensor-parallel-size"] == ("8",), "else pipelines of both grids would differ"
    assert words(DENSE)["--expert-tensor-parallel-size"] == ("4",)


def test_the_vocabulary_is_padded_for_each_rank() -> None:
    assert lay_out(TRAIN).traits.padded_vocab_size == 32256  # 63 * 128 * 4
    assert lay_out(changed(TRAIN, args("--make-vocab-size-divisible-by", "1"))).traits.padded_vocab_size == 32000
