"""Stages that hold the embedding or the head alone: who takes them, what is written of them, and what reads it back."""

from __future__ import annotations

import csv
import inspect
from pathlib import Path

import numpy as np
import pytest

from compiler import compile_plan
from compiler.commands.show import run
from compiler.errors import CompilerError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.stage_rule import stage_layers
from compiler.frameworks.torchtitan.arguments import MODULES
from compiler.passes import compile_config, timed_by
from compiler.runtime import rank_map
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.costed import cost

SMALL = [
    "model=llama3_1_8b",
    "model.declared.params=null",
    "model.num_hidden_layers=6",
    "hardware=h100_80gb",
    "hardware.nodes=1",
]
TRAIN = ["workload=train", "scheduler=slurm", "hardware.node.gpus=4", "workload.global_batch_size=8", *SMALL]
LOOPED = ["workload.schedule=interleaved", "parallel=pp4_vpp2_adp1"]


def refused(*overrides: str) -> str:
    with pytest.raises(CompilerError) as error:
        compile_plan(list(overrides))
    return str(error.value)


def titan(*overrides: str) -> Config:
    return composed("framework=torchtitan", "workload.zero_stage=3", *TRAIN, *overrides)


def test_torchtitan_counts_the_ends_as_layers() -> None:
    assert stage_layers(titan(*LOOPED)) == [0, 1, 1, 1, 1, 1, 1, 0]
    assert stage_layers(titan("parallel=pp4_adp1", "model.num_hidden_layers=2")) == [0, 1, 1, 0]
    said = refused("framework=torchtitan", "workload.zero_stage=3", *TRAIN, *LOOPED, "model.num_hidden_layers=5")
    assert "5 layers over 8 chunks is 0.625 each" in said


def test_torchtitan_builds_them() -> None:
    pytest.importorskip("torchtitan")
    from compiler.frameworks.torchtitan import prove
    from compiler.frameworks.torchtitan.emit import emission

    named = ["parallel=pp4_adp1", "parallel.stages=[0,1,5,0]"]
    parts = "tok_embeddings layers.0,layers.1 layers.2,layers.3,layers.4,layers.5 norm,lm_head".split()
    words = [MODULES, *parts]
    said = changed(titan("parallel=pp4_adp1"), {"framework.args": words})
    assert stage_layers(said) == [0, 2, 4, 0]
    assert [word for word in emission(lay_out(said)).arguments if MODULES in str(word)] == [MODULES]
    for config in (titan(*LOOPED), titan(*named), said):
        assert [finding for finding in prove.prove(lay_out(config), None) if not finding.equal] == []


@pytest.mark.parametrize(
    ("framework", "stages", "said"),
    [
        ("torchtitan", "[2,0,2,2]", "stages without a layer under framework=torchtitan: 1 of 0 to 3"),
        (
            "deepspeed",
            "[0,2,2,2]",
            "stages without a layer under framework=deepspeed: 0 of 0 to 3; it takes as such: none",
        ),
        ("none", "[2,0,2,2]", "it takes as such: the first, which has the embedding, and the last"),
        ("megatron", "[0,2,2,1]", "4 stages hold 5 of 6 layers"),
    ],
)
def test_a_stage_that_the_framework_wants_a_layer_in_is_refused(framework: str, stages: str, said: str) -> None:
    assert said in refused(f"framework={framework}", *TRAIN, "parallel=pp4_adp1", f"parallel.stages={stages}")


@pytest.mark.parametrize("framework", ["vllm", "sglang", "none"])
def test_a_server_has_layers_on_every_stage(framework: str) -> None:
    said = refused(
        f"framework={framework}", *SMALL, "hardware.node.gpus=4", "parallel=pp4", "parallel.stages=[0,2,2,2]"
    )
    assert "without a layer" in said


def test_tables_and_show_read_back_what_is_empty(tmp_path: Path) -> None:
    stages = "parallel.stages=[0,3,3,0]"
    plan = compile_plan(["framework=megatron", *TRAIN, "parallel=pp4_adp1", stages, "name=ends"])
    folder = plan.write(tmp_path)
    with (folder / "rank_map.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layers"] for row in rows] == ["", "0-2", "3-5", ""]
    launch = {"gpus_per_node": 4, "hosts": [], "world_size": 4, "ranks_per_node": 4}
    assert [rank_map.computed(str(folder), launch, rank)["layers"] for rank in range(4)] == ["", "0-2", "3-5", ""]
    assert run([str(folder), "rank=0"]) == 0
    assert plan.to_dict()["stages"][3]["chunks"] == [[6, 5]]


def test_the_fix_of_too_few_layers_is_one_that_can_be() -> None:
    said = refused(
        "framework=none",
        *TRAIN,
        "parallel=pp4_vpp2_adp1",
        "workload.schedule=interleaved",
        "parallel.stages=[1,1,1,1,1,1]",
    )
    assert "parallel.stages=[0,1,1,1,1,1,1,0]" in said


@pytest.mark.parametrize("stage", [0, 3])
@pytest.mark.parametrize("hardware", ["generic_64gb", "h200"])
def test_a_stage_with_nothing_at_all_costs_nothing_but_its_place(hardware: str, stage: int) -> None:
    base = composed(
        "framework=megatron", *TRAIN, f"hardware={hardware}", "parallel=pp4_vpp2_adp1", "workload.schedule=interleaved"
    )
    config = changed(
        base, {"parallel.stages": [2, 0, 2, 0, 1, 0, 1, 0], "workload.zero_stage": stage, "hardware.node.gpus": 4}
    )
    found = cost(lay_out(config), *timed_by(config))
    assert np.isfinite(found.memory.total_bytes).all()
    assert found.projection is not None
    assert np.isfinite([found.projection.step_time_s, found.projection.bubble_s]).all()
    assert found.memory.weights_bytes[1] == 0


@pytest.mark.parametrize(
    ("names", "stages", "said"),
    [
        (
            "tok_embeddings,layers.1 layers.0 layers.2,layers.3 norm,lm_head",
            None,
            "names other modules than tok_embeddings, layers.0 to layers.3",
        ),
        ("layers.0 layers.1 layers.2 layers.3,layers.4,layers.5,norm,lm_head", None, "names other modules"),
        ("tok_embeddings layers.0 layers.1 norm,lm_head", [0, 1, 1, 0], "and so does the plan"),
        ("tok_embeddings layers.0 layers.1 norm,lm_head", None, "4 stages hold 2 of 6 layers"),
    ],
)
def test_modules_that_are_named_in_another_way_are_refused(names: str, stages: list[int] | None, said: str) -> None:
    config = changed(
        titan("parallel=pp4_adp1"), {"framework.args": [MODULES, *names.split()], "parallel.stages": stages}
    )
    with pytest.raises(CompilerError) as error:
        compile_config(config)
    assert said in str(error.value)


@pytest.mark.parametrize(("count", "size"), [(8, 4), (10, 5), (7, 7), (15, 5), (4, 4)])
def test_torch_deals_micro_batches_out_to_rounds_of_one_size(count: int, size: int) -> None:
    """Ten on four stages go in two rounds of five; Megatron would want groups of five to be asked for."""
    schedules = pytest.importorskip("torch.distributed.pipelining.schedules")
    config = changed(titan(*LOOPED), {"workload.global_batch_size": count, "parallel.adp": 1})
    assert adapter("torchtitan").interleaved_group(config) == size
    source = inspect.getsource(schedules.ScheduleInterleaved1F1B.__init__)
    assert "max(1, n_microbatches // self.pp_group_size)" in source
    compile_config(config)
