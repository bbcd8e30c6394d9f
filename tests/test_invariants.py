"""Every rule is seen to hold and to break, with its numbers and a fix."""

from collections.abc import Mapping
from typing import Any

import pytest

from compiler import invariants
from compiler.checks import Check
from compiler.costs.total import cost
from compiler.errors import InvariantError
from compiler.invariants.world_size import nearest
from compiler.passes import compile_config, lay_out
from compiler.specs.config import Config
from tests.configs import changed, composed

STRATEGY = composed()
TRAIN = composed("workload=train")
MIXTRAL = composed("model=mixtral_8x7b", "parallel=ep8_tp4_pp4_dp8", "workload.global_batch_size=1024")
DEEPSEEK = composed("model=deepseek_v3", "parallel=ep64_tp1_pp1_dp16", "workload.global_batch_size=1024")
DENSE = composed("model=llama3_1_8b", "parallel=tp8_pp4_adp32")


def checks(config: Config) -> dict[str, Check]:
    """All checks of a configuration by id; the worst of those with one id."""
    found = list(invariants.declared(config))
    if not any(check.id in invariants.BLOCKING and check.status == "fail" for check in found):
        world = lay_out(config)
        found += [*invariants.laid_out(world), *invariants.costed(world, cost(world))]
    return {check.id: check for check in sorted(found, key=lambda check: ("pass", "warn", "fail").index(check.status))}


CASES: list[tuple[str, Config, Mapping[str, Any], str, str, str]] = [
    (
        "instance-nodes",
        DENSE,
        {"hardware.node.gpus": 12, "framework.instances": 2},
        "fail",
        "an instance of 1024 ranks on nodes of 12 GPUs takes 85.3333 nodes",
        "a multiple or a divisor of 12",
    ),
    (
        "slurm-containers",
        composed("scheduler=slurm"),
        {"launch.image": "x"},
        "warn",
        "launch.image=x has no effect under scheduler=slurm",
        "start the container",
    ),
    (
        "world-size",
        STRATEGY,
        {"hardware.nodes": 64},
        "fail",
        "= 1024 ranks; the cluster has 64 nodes x 8 GPUs = 512",
        "write hardware.nodes=128 or parallel=",
    ),
    ("world-size", STRATEGY, {"framework.instances": 2}, "fail", "x 2 instances = 2048 ranks", "hardware.nodes=256"),
    (
        "expert-grid",
        STRATEGY,
        {"parallel.dp": None, "parallel.adp": 10},
        "fail",
        "holds 0.625 expert blocks of etp4 x ep16 = 64 ranks",
        "parallel.adp=16",
    ),
    (
        "attention-heads",
        STRATEGY,
        {"parallel.tp": 3},
        "fail",
        "num_attention_heads 16 over tp=3 is 5.33333 each",
        "divisor of 16",
    ),
    (
        "kv-heads",
        MIXTRAL,
        {"parallel.tp": 16},
        "warn",
        "tp=16 is larger than num_key_value_heads=8: each KV head is held 2 times",
        "tp=8 or less",
    ),
    (
        "kv-heads",
        MIXTRAL,
        {"parallel.tp": 3},
        "fail",
        "num_key_value_heads 8 over tp=3",
        "a divisor or a multiple of 8",
    ),
    ("hidden-size", STRATEGY, {"parallel.tp": 3}, "fail", "hidden_size 1024 over tp=3", "divisor of 1024"),
    ("ffn-size", DENSE, {"parallel.tp": 5}, "fail", "intermediate_size 14336 over tp=5", "divisor of 14336"),
    (
        "expert-ffn-size",
        STRATEGY,
        {"parallel.etp": 3},
        "fail",
        "moe_intermediate_size 2048 over etp=3",
        "divisor of 2048",
    ),
    (
        "shared-ffn-size",
        DEEPSEEK,
        {"parallel.tp": 3},
        "fail",
        "shared experts' width 2048 over tp=3",
        "divisor of 2048",
    ),
    ("sequence-length", TRAIN, {"parallel.cp": 3}, "fail", "sequence of 4096 over 2*cp=6", "multiples of 6"),
    ("experts", STRATEGY, {"parallel.ep": 3}, "fail", "num_experts 64 over ep=3", "divisor of 64"),
    ("experts", DENSE, {"parallel.ep": 2}, "fail", "ep=2, but llama3_1_8b has no experts", "leave ep out"),
    (
        "top-k",
        STRATEGY,
        {"model.num_experts_per_tok": 65},
        "fail",
        "num_experts_per_tok=65 of 64 experts",
        "between 1 and 64",
    ),
    ("expert-groups", DEEPSEEK, {"model.n_group": 7}, "fail", "num_experts 256 over n_group=7", "divisor of 256"),
    (
        "layers-to-stages",
        STRATEGY,
        {"parallel.pp": 3},
        "fail",
        "16 layers over 3 stages is 5.33333 each",
        "parallel.stages=[6,5,5]",
    ),
    (
        "layers-to-stages",
        STRATEGY,
        {"parallel.stages": [4, 4, 4, 3]},
        "fail",
        "4 stages hold 15 of 16 layers",
        "4 positive numbers that add up to 16",
    ),
    (
        "layers-to-stages",
        STRATEGY,
        {"parallel.stages": [8, 8]},
        "fail",
        "2 stages hold 16 of 16 layers",
        "4 positive numbers",
    ),
    (
        "virtual-pipeline",
        TRAIN,
        {"parallel.pp": 1, "parallel.vpp": 2},
        "fail",
        "vpp=2 needs a pipeline, and pp is 1",
        "pp2 or more",
    ),
    ("schedule", TRAIN, {"workload.schedule": "interleaved"}, "fail", "has nothing to interleave", "vpp2"),
    (
        "batch",
        STRATEGY,
        {"workload.global_batch_size": 100},
        "fail",
        "global_batch_size 100 over adp=64 ranks in micro-batches of 1 is 1.5625",
        "workload.global_batch_size=128",
    ),
    (
        "micro-batches",
        STRATEGY,
        {},
        "warn",
        "2 micro-batches fill at most 2 of 4 stages: 50% busy",
        "workload.global_batch_size=256",
    ),
    (
        "micro-batches",
        TRAIN,
        {"workload.global_batch_size": 128, "parallel.vpp": 2},
        "fail",
        "2 of 4 stages: 50% busy",
        "smaller pp",
    ),
    (
        "interleaving",
        TRAIN,
        {"workload.global_batch_size": 384, "parallel.vpp": 2},
        "fail",
        "rounds of pp=4, and there are 6",
        "multiple of pp",
    ),
    (
        "grids-agree",
        STRATEGY,
        {"parallel.order": "tp-cp-ep-pp-dp"},
        "fail",
        "4 ranks apart on the attention grid and 64 ranks on the expert grid",
        "put pp last",
    ),
    (
        "tp-in-nvlink",
        MIXTRAL,
        {"parallel.tp": 16, "parallel.dp": 2},
        "warn",
        "0 of 64 tp groups of 16 ranks are inside an NVLink domain of 8 GPUs",
        "divisor of 8",
    ),
    ("etp-in-nvlink", STRATEGY, {"parallel.etp": 16}, "warn", "of 64 etp groups of 16 ranks", "divisor of 8"),
    (
        "ep-span",
        DEEPSEEK,
        {"hardware.fabric.nodes_per_leaf": 4},
        "warn",
        "an EP group of 64 ranks spans 8 nodes and 2 leaves; 1 groups share a node",
        "smaller ep",
    ),
    (
        "memory",
        STRATEGY,
        {"hardware.gpu.memory_bytes": 4e9},
        "fail",
        "needs 5.99 of 4.00 GB (150%): weights 0.70",
        "raise tp, pp or ep",
    ),
    (
        "declared-params",
        STRATEGY,
        {},
        "warn",
        "model.declared.params is 30.00B; the architecture has 4.43B",
        "mend the architecture",
    ),
    (
        "inventory",
        STRATEGY,
        {"hardware.pin": True},
        "fail",
        "hardware.pin=true has no hosts to pin",
        "hardware.inventory=FILE",
    ),
    (
        "inventory",
        STRATEGY,
        {"hardware.inventory": "host,leaf,pod,rack\na,l,p,r\n"},
        "fail",
        "the inventory has 1 hosts, the plan 128 nodes + 0 spares = 128",
        "at least 128",
    ),
    (
        "inventory",
        STRATEGY,
        {"hardware.inventory": "host,leaf,pod,rack\na,l,p,r\n", "hardware.pin": True},
        "fail",
        "the inventory has 1 hosts",
        "pin exactly 128 hosts",
    ),
    (
        "secrets",
        STRATEGY,
        {"launch.environment": {"HF_TOKEN": "x"}},
        "fail",
        "launch.environment.HF_TOKEN looks like a secret",
        "launch.secrets.HF_TOKEN=FILE",
    ),
    (
        "secrets",
        STRATEGY,
        {"site.environment": {"X": "hf_" + "a" * 30}},
        "fail",
        "site.environment.X looks like a secret",
        "launch.secrets.X",
    ),
    (
        "nccl-device-names",
        STRATEGY,
        {"launch.environment": {"NCCL_IB_HCA": "mlx5_1"}},
        "warn",
        "matches every device whose name starts so",
        "NCCL_IB_HCA==mlx5_1",
    ),
    (
        "checkpoint-signal",
        STRATEGY,
        {"launch.time_limit": "00:01:00"},
        "fail",
        "120 s before a limit of 60 s",
        "longer launch.time_limit",
    ),
]


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


@pytest.mark.parametrize("rule", sorted({case[0] for case in CASES}))
def test_every_rule_holds_somewhere(rule: str) -> None:
    configs = [
        changed(
            composed("model=qwen3_30b_a3b", "parallel=tp4_cp2_pp4_vpp2_ep8_adp32", "workload=train"),
            {"workload.schedule": "interleaved", "launch.environment": {"NCCL_IB_HCA": "=mlx5_1"}},
        ),
        changed(
            STRATEGY, {"hardware.inventory": "host,leaf,pod,rack\n" + "".join(f"n{i},l,p,r\n" for i in range(128))}
        ),
        DEEPSEEK,
        changed(DENSE, {"parallel.adp": 16, "framework.instances": 2}),
        DENSE,
    ]
    held = [found[rule].status == "pass" for found in map(checks, configs) if rule in found]
    silent = ("secrets", "slurm-containers")  # say something only where they break
    assert rule in silent or any(held)


def test_all_failures_are_listed_at_once() -> None:
    bad = changed(
        STRATEGY,
        {"parallel.tp": 3, "workload.global_batch_size": 100, "hardware.nodes": 3, "hardware.gpu.memory_bytes": 1e9},
    )
    with pytest.raises(InvariantError) as caught:
        compile_config(bad)
    ids = {problem.what.split(":")[0] for problem in caught.value.problems}
    assert {"attention-heads", "hidden-size", "batch", "world-size", "memory"} <= ids


@pytest.mark.parametrize("nodes", [16, 96, 100, 250, 512])
def test_the_three_nearest_degrees_fill_the_cluster_and_suit_the_model(nodes: int) -> None:
    found = nearest(STRATEGY, nodes * 8)
    assert len({degrees.name for degrees in found}) == 3
    for degrees in found:
        assert degrees.world_size == nodes * 8
        assert degrees.factors
        assert 16 % degrees.tp == 16 % degrees.pp == 64 % degrees.ep == 0


def test_the_nearest_degrees_of_a_cluster_twice_as_large_change_one_factor() -> None:
    assert {degrees.name for degrees in nearest(STRATEGY, 2048)} <= {
        "ep16_tp4_pp4_dp8",
        "ep16_tp4_pp8_dp4",
        "ep16_tp8_pp4_dp4",
        "ep32_tp4_pp4_dp4",
    }
    assert nearest(STRATEGY, 1024)[0].name == "ep16_tp4_pp4_dp4"


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
