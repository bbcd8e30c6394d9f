"""An option of `framework.args` that a key sets: the fix names the key and its value, and what is pasted compiles."""

from __future__ import annotations

import re

import pytest

from tests.pasted import pasted, refused
from tests.test_framework_told import args

TRAIN = ("workload=train", "parallel=tp2_adp8", "hardware.nodes=2", "workload.global_batch_size=64")
SERVE = ("parallel=tp8", "hardware.nodes=1")

CASES = [
    # framework, the option as it is written, the key and value that are written instead, empty where they do not fit alone
    ("megatron", "--seq-length,8192", "workload.sequence_length=8192"),
    ("megatron", "--swiglu", "model.gated_mlp=true"),
    ("megatron", "--bf16", "workload.precision=bf16"),
    ("torchtitan", "--training.seq_len=4096", "workload.sequence_length=4096"),
    ("maxtext", "max_target_length=4096", "workload.sequence_length=4096"),
    ("deepspeed", "--json.train_batch_size=256", "workload.global_batch_size=256"),
    ("vllm", "--max-num-seqs=32", "workload.global_batch_size=32"),
    ("sglang", "--max-running-requests=32", "workload.global_batch_size=32"),
]


def common(framework: str) -> list[str]:
    own = SERVE if framework in ("vllm", "sglang") else TRAIN
    return [*own, "model=llama3_1_8b", "hardware=h100_80gb", "scheduler=slurm", f"framework={framework}"]


@pytest.mark.parametrize(("framework", "option", "override"), CASES)
def test_the_fix_names_the_key_and_compiles(framework: str, option: str, override: str) -> None:
    given = [*common(framework), args(option)]
    [line] = refused(given)
    first = re.split(r" ; write | or ", line)[1].split(" ")
    assert override in first
    assert "framework.args=[]" in first
    assert refused(pasted(given, first)) == []


@pytest.mark.parametrize(
    ("framework", "option", "key"),
    [
        ("megatron", "--context-parallel-size,2", "parallel.cp"),
        ("torchtitan", "--parallelism.tensor_parallel_degree=4", "parallel.tp"),
    ],
)
def test_a_key_that_does_not_fit_alone_is_named(framework: str, option: str, key: str) -> None:
    [line] = refused([*common(framework), args(option)])
    assert f" ; its key is {key}: write framework.args=[]" in line
