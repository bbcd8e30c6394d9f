"""Every rule is seen to hold and to break, with its numbers and a fix."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from compiler.checks import Status
from compiler.errors import InvariantError
from compiler.passes import compile_config
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.invariant_cases_cluster import CLUSTER
from tests.invariant_cases_model import MODEL
from tests.invariant_configs import COMPRESSED, DEEPSEEK, DENSE, HYBRID, STRATEGY, TRAIN, checks

CASES = [*MODEL, *CLUSTER]


@pytest.mark.parametrize(
    ("rule", "config", "values", "status", "message", "fix"),
    CASES,
    ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)],
)
def test_a_broken_rule_says_its_numbers_and_what_to_write(
    rule: str, config: Config, values: dict[str, Any], status: str, message: str, fix: str
) -> None:
    found = checks(changed(config, values))[rule]
    assert found.status == status
    assert message in found.message
    assert fix in found.fix


SET = {
    "NCCL_IB_HCA": "=mlx5_1",
    "NCCL_BUFFSIZE": "8388608",
    "NCCL_MIN_CTAS": "8",
    "NCCL_MAX_CTAS": "16",
    "NCCL_NVLS_ENABLE": "1",
}


@pytest.mark.parametrize("rule", sorted({case[0] for case in CASES}))
def test_every_rule_holds_somewhere(rule: str) -> None:
    configs = [
        changed(
            composed("model=qwen3_30b_a3b", "parallel=tp4_cp2_pp4_vpp2_ep8_adp32", "workload=train"),
            {"workload.schedule": "interleaved", "launch.environment": SET},
        ),
        changed(
            STRATEGY,
            {"hardware.inventory": "host,leaf,pod,rack,gpus\n" + "".join(f"n{i},l,p,r,8\n" for i in range(128))},
        ),
        DEEPSEEK,
        HYBRID,
        COMPRESSED,
        changed(DENSE, {"parallel.adp": 16, "framework.instances": 2}),
        DENSE,
        composed("framework=vllm"),
        changed(TRAIN, {"parallel.stages": [0, 5, 5, 6]}),
    ]
    held = [found[rule].status == "pass" for found in map(checks, configs) if rule in found]
    silent = "slurm-containers"  # says something only where it breaks
    assert rule == silent or any(held)


def test_all_failures_are_listed_at_once() -> None:
    bad = changed(
        TRAIN,
        {"parallel.tp": 3, "workload.global_batch_size": 100, "hardware.nodes": 3, "hardware.gpu.memory_bytes": 3e9},
    )
    with pytest.raises(InvariantError) as caught:
        compile_config(bad)
    ids = {problem.what.split(":")[0] for problem in caught.value.problems}
    assert {"attention-heads", "hidden-size", "batch", "world-size"} <= ids
    assert "memory" not in ids, "no rank is laid out in a world of another size"


def test_a_dense_model_has_no_expert_rules() -> None:
    assert not {"experts", "top-k", "ep-span", "etp-in-nvlink", "expert-ffn-size"} & set(checks(DENSE))


def test_mla_is_exempt_from_the_kv_head_rule() -> None:
    assert checks(DEEPSEEK)["kv-heads"].status == "pass"


def test_the_padded_vocabulary_is_in_the_checks_and_the_plan() -> None:
    config = composed("model=gpt3_175b", "parallel=tp8_pp4_adp32")
    plan = compile_config(changed(config, {"parallel.tp": 32, "parallel.adp": 8, "hardware.gpu.memory_bytes": 1e12}))
    padded = plan.to_dict()["padded_vocab_size"]
    assert padded % 32 == 0
    assert padded - config.model.vocab_size < 32


FRESH = """
from compiler.invariants import laid_out
from tests.worlds import world
print(*(check.id for check in laid_out(world())))
"""


def test_rules_are_found_whichever_module_was_imported_first() -> None:
    """A program that asks for the rules of ranks alone gets all of them, each under its id."""
    ran = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["partitions", "grids-agree", "tp-in-nvlink", "etp-in-nvlink", "ep-span"]


def test_a_check_is_never_anonymous() -> None:
    found = checks(STRATEGY)
    assert "" not in found
    assert {check.status for check in found.values()} <= set(Status)
