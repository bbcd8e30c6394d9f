"""The arguments that torchtitan is started with, the plan's and the user's."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.errors import ConfigError
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.torchtitan import arguments
from tests.configs import changed, composed
from tests.torchtitan_configs import LLAMA, TITAN, emitted


def test_arguments_hold_degrees_batches_and_the_model() -> None:
    assert emitted(composed(*LLAMA)) == (
        "--module=llama3",
        "--config=llama3_8b",
        "--parallelism.data_parallel_replicate_degree=1",
        "--parallelism.data_parallel_shard_degree=4",
        "--parallelism.context_parallel_degree=2",
        "--parallelism.tensor_parallel_degree=4",
        "--parallelism.pipeline_parallel_degree=2",
        "--parallelism.expert_parallel_degree=1",
        "--parallelism.pipeline_parallel_microbatch_size=1",
        "--parallelism.pipeline_parallel_first_stage_less_layers=0",
        "--parallelism.pipeline_parallel_last_stage_less_layers=0",
        "--parallelism.pipeline_parallel_schedule=1F1B",
        "--parallelism.enable_sequence_parallel",
        "--training.global_batch_size=1024",
        "--training.local_batch_size=256",
        "--training.seq_len=4096",
        "--training.mixed_precision_param=bfloat16",
        "--training.disable_cuda_graphs",
        "activation_checkpoint:none",
    )
    emission = TITAN.emission(lay_out(composed(*LLAMA)))
    assert emission.program == ("python3", "-m", "torchtitan.train")
    assert (emission.unit, emission.others) == ("rank", None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"workload.zero_stage": 3}, "--parallelism.fsdp_reshard_after_forward=always"),
        ({"workload.zero_stage": 2}, "--parallelism.fsdp_reshard_after_forward=never"),
        ({"workload.distributed_optimizer": False}, "--parallelism.data_parallel_replicate_degree=4"),
        ({"workload.sequence_parallel": False}, "--parallelism.no_enable_sequence_parallel"),
        ({"workload.recompute": "full"}, "activation_checkpoint:full"),
        ({"parallel.vpp": 2}, "--parallelism.pipeline_parallel_schedule=Interleaved1F1B"),
        (
            {"parallel.vpp": 2, "workload.schedule": "zero_bubble"},
            "--parallelism.pipeline_parallel_schedule=InterleavedZeroBubble",
        ),
        ({"parallel.pp": 1, "workload.micro_batch_size": 2}, "--training.local_batch_size=2"),
        ({"workload.precision": "fp32"}, "--training.mixed_precision_param=float32"),
    ],
)
def test_each_choice_has_its_argument(values: dict[str, Any], expected: str) -> None:
    plain = emitted(composed(*LLAMA))
    arguments = emitted(changed(composed(*LLAMA), values))
    assert expected in arguments
    assert expected not in plain


@pytest.mark.parametrize(
    "spelt",
    [
        "--parallelism.tensor-parallel-degree=2",
        "--training.no_disable_cuda_graphs",
    ],
)
def test_an_argument_of_the_plan_is_not_the_users(spelt: str) -> None:
    with pytest.raises(ConfigError, match=spelt.split("=", maxsplit=1)[0]):
        emitted(changed(composed(*LLAMA), {"framework.args": [spelt]}))


def test_the_users_words_come_before_the_subcommand() -> None:
    words = ["--module", "mine", "--config=large", "--training.steps", "10"]
    arguments = emitted(changed(composed(*LLAMA), {"framework.args": words}))
    assert arguments[-6:] == (*words, "activation_checkpoint:none")
    assert arguments[0].startswith("--parallelism")
    own = [*words, "activation-checkpoint:memory-budget"]
    assert emitted(changed(composed(*LLAMA), {"framework.args": own}))[-6:] == tuple(own)


@pytest.mark.parametrize("written", ["--parallelism.spmd-backend", "--parallelism.spmd_backend"])
def test_an_option_of_the_users_shapes_the_plan_however_it_is_spelt(written: str) -> None:
    config = changed(composed(*LLAMA), {"framework.args": [f"{written}=partial_dtensor"]})
    assert arguments.backend(config) == "partial_dtensor"
