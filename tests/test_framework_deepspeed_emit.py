"""The files and arguments that DeepSpeed is started with, and those that are the plan's alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.frameworks.deepspeed import emit
from compiler.frameworks.emission import Computed
from compiler.frameworks.lay_out import lay_out
from compiler.specs.config import Config
from tests.configs import changed
from tests.deepspeed_configs import DENSE, FOLDED, SERVE, TRAIN, WHOLE


def files(config: Config) -> dict[str, Any]:
    return {item.path: json.loads(str(item.text)) for item in emit.emission(lay_out(config)).files}


def test_the_json_says_batch_precision_and_zero() -> None:
    assert files(TRAIN)["framework/ds_config.json"] == {
        "train_batch_size": 1024,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 16,
        "zero_optimization": {"stage": 1},
        "bf16": {"enabled": True},
        "data_types": {"grad_accum_dtype": "fp32"},
    }
    plain = changed(TRAIN, {"workload.precision": "fp32", "workload.distributed_optimizer": False})
    assert files(plain)["framework/ds_config.json"]["zero_optimization"] == {"stage": 0}
    assert not {"bf16", "fp16"} & set(files(plain)["framework/ds_config.json"])


def test_the_constructors_make_the_plan() -> None:
    found = files(changed(TRAIN, {"workload.sequence_length": 4000}))["framework/constructors.json"]
    assert found["PipeModelDataParallelTopology"] == {"num_pp": 4, "num_mp": 4, "num_dp": 64}
    assert found["MoE"] == {
        "hidden_size": 1024,
        "num_experts": 64,
        "ep_size": 16,
        "k": 2,
        "min_capacity": 128,
        "enable_expert_tensor_parallelism": True,
        "drop_tokens": False,
        "top2_2nd_expert_sampling": False,
    }
    capacity = changed(TRAIN, {"workload.dispatch": "capacity", "model.router_jitter_noise": 0.01})
    cut = files(capacity)["framework/constructors.json"]["MoE"]
    assert (cut["drop_tokens"], cut["noisy_gate_policy"]) == (True, "Jitter")
    assert files(WHOLE)["framework/constructors.json"]["MoE"]["enable_expert_tensor_parallelism"] is False
    strided = files(changed(WHOLE, {"framework.expert_layout": "tp_strided"}))["framework/constructors.json"]
    assert strided["_create_expert_and_data_parallel"]["mp_size"] == 4
    assert "MoE" not in files(DENSE)["framework/constructors.json"]


def test_autoep_over_autotp_has_its_own_sections() -> None:
    found = files(FOLDED)
    assert found["framework/ds_config.json"]["expert_parallel"] == {
        "enabled": True,
        "autoep_size": 16,
        "expert_tensor_parallel_size": 1,
    }
    assert found["framework/ds_config.json"]["tensor_parallel"] == {"autotp_size": 4}
    assert "train_batch_size" not in found["framework/ds_config.json"]
    assert found["framework/constructors.json"] == {}


def test_recomputed_layers_and_data_first_are_said() -> None:
    config = changed(TRAIN, {"workload.recompute": "full", "framework.expert_layout": "tensor_data_first"})
    found = files(config)["framework/ds_config.json"]
    assert found["pipeline"] == {"activation_checkpoint_interval": 1}
    assert found["use_data_before_expert_parallelism"] is True


def test_what_goes_to_the_host_is_said() -> None:
    config = changed(
        TRAIN,
        {"workload.optimizer_offload": 1.0, "workload.activation_offload": 1.0, "workload.recompute": "full"},
    )
    pinned = ["--json.zero_optimization.offload_optimizer.pin_memory=false"]
    found = files(changed(config, {"framework.args": pinned}))["framework/ds_config.json"]
    states = {"device": "cpu", "ratio": 1.0, "pin_memory": False}
    assert found["zero_optimization"] == {"stage": 1, "offload_optimizer": states}
    assert found["activation_checkpointing"] == {"cpu_checkpointing": True}
    dense = changed(DENSE, {"parallel.pp": 1, "workload.zero_stage": 3, "workload.optimizer_offload": 0.25})
    assert files(dense)["framework/ds_config.json"]["zero_optimization"]["offload_optimizer"]["ratio"] == 0.25


@pytest.mark.parametrize(
    ("argument", "values", "key"),
    [
        (
            "--json.zero_optimization.offload_optimizer.device=nvme",
            {"workload.optimizer_offload": 1.0},
            "zero_optimization.offload_optimizer.device",
        ),
        ("--json.zero_optimization.cpu_offload=true", {"workload.optimizer_offload": 1.0}, "cpu_offload"),
        (
            '--json.activation_checkpointing={"cpu_checkpointing":false}',
            {"workload.activation_offload": 1.0, "workload.recompute": "full"},
            "activation_checkpointing.cpu_checkpointing",
        ),
    ],
)
def test_the_user_decides_what_the_workload_leaves_open(argument: str, values: dict[str, Any], key: str) -> None:
    config = changed(TRAIN, {"framework.args": [argument]})
    assert files(config)
    with pytest.raises(ConfigError, match=f"{key}, and so does the plan"):
        files(changed(config, values))


def test_arguments_follow_a_command_and_only_then() -> None:
    config = changed(TRAIN, {"framework.args": ["--json.gradient_clipping=1.0", "--data", "/d"]})
    found = emit.emission(lay_out(config))
    path = Computed("{RANKPLAN_PLAN}/framework/ds_config.json")
    assert found.arguments == ("--deepspeed", "--deepspeed_config", path, "--data", "/d")
    assert (found.program, found.unit) == ((), "rank")
    assert emit.emission(lay_out(SERVE)).arguments == ()
    assert files(config)["framework/ds_config.json"]["gradient_clipping"] == 1.0


def test_json_arguments_are_merged() -> None:
    args = [
        "--json.zero_optimization.overlap_comm=true",
        '--json.optimizer={"type":"AdamW"}',
        "--json.optimizer.params.lr=1e-4",
        "--json.bf16.check_grad_overflow=false",
        "--json.wall_clock_breakdown=maybe",
    ]
    found = files(changed(TRAIN, {"framework.args": args}))["framework/ds_config.json"]
    assert found["zero_optimization"] == {"stage": 1, "overlap_comm": True}
    assert found["optimizer"] == {"type": "AdamW", "params": {"lr": 1e-4}}
    assert found["bf16"] == {"enabled": True, "check_grad_overflow": False}
    assert found["wall_clock_breakdown"] == "maybe"


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--json.zero_optimization.stage=2", "sets --json.zero_optimization.stage, and so does the plan"),
        ('--json.zero_optimization={"stage":2}', "sets --json.zero_optimization.stage, and so does the plan"),
        ('--json.expert_parallel={"enabled":true}', "sets --json.expert_parallel.enabled"),
        ("--json.tensor_parallel.tp.tp_size=2", "sets --json.tensor_parallel.tp"),
        ("--json.sequence_parallel_size=2", "sets --json.sequence_parallel_size"),
        ("--json.zero_optimization=3", "sets --json.zero_optimization.stage"),
        ("--json.zero_optimization.mics_shard_size=8", "whose groups are not planned"),
        ('--json.zero_optimization={"mics_shard_size":8}', "whose groups are not planned"),
        ("--json.train_batch_size.x=1", "sets --json.train_batch_size"),
        ("--json.gradient_clipping", "--json.gradient_clipping sets no key"),
        ("--json..x=1", "sets no key"),
        ("--json.gradient_clipping=NaN", "--json.gradient_clipping holds nan, which is no text"),
        ('--json.optimizer={"params":{"lr":1e999}}', "--json.optimizer holds inf, which is no text"),
        ("--deepspeed_config=mine.json", "sets --deepspeed_config, and so does the plan"),
        ("--deepscale_config=mine.json", "sets --deepscale_config, and so does the plan"),
    ],
)
def test_arguments_that_the_plan_decides_are_refused(argument: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        emit.emission(lay_out(changed(TRAIN, {"framework.args": [argument]})))
    assert says in str(error.value)
    assert " ; " in str(error.value)


def test_a_key_inside_a_plain_value_is_refused() -> None:
    args = ["--json.gradient_clipping=1.0", "--json.gradient_clipping.norm=2"]
    with pytest.raises(ConfigError, match="goes into a value that is no mapping"):
        emit.emission(lay_out(changed(TRAIN, {"framework.args": args})))
