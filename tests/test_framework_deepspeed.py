"""framework=deepspeed: layouts, what is refused and what to write instead, and the files that are emitted."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any
from unittest import mock

import pytest

from compiler import compile_plan
from compiler.checks import Check
from compiler.errors import ConfigError, InvariantError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.deepspeed import emit, layout
from compiler.frameworks.deepspeed.prove import prove
from compiler.frameworks.emission import Computed
from compiler.frameworks.proof import NotInstalledError
from compiler.passes import lay_out
from compiler.specs.config import Config
from compiler.world import World
from tests.command import BARE
from tests.configs import changed, composed

DEEPSPEED = (
    "framework=deepspeed",
    "workload=train",
    "workload.sequence_parallel=false",
    "launch.command=[python3,t.py]",
)
TRAIN = composed(*DEEPSPEED)
WHOLE = changed(TRAIN, {"framework.expert_layout": "contiguous", "parallel.etp": 1})
FOLDED = changed(
    TRAIN,
    {"framework.expert_layout": "autoep", "parallel.etp": 1, "parallel.pp": 1, "parallel.dp": 16},
)
DENSE = composed(*DEEPSPEED, "model=llama3_1_8b", "parallel=tp8_pp4_adp32")
SERVE = composed("framework=deepspeed")
SIXTEEN = {"parallel.pp": 1, "parallel.dp": None, "parallel.ep": 4}


def small(name: str, tp: int, **more: Any) -> World:
    """16 ranks of one stage, ep4."""
    split = layout.LAYOUTS[name].split
    changes = {"parallel.tp": tp, "parallel.adp": 16 // tp, "parallel.etp": tp if split else 1}
    return lay_out(changed(TRAIN, {**SIXTEEN, **changes, "framework.expert_layout": name, **more}))


def checks(config: Config) -> dict[str, Check]:
    """Our checks by id; the worst of those with one id."""
    found = [item for item in adapter("deepspeed").declared(config) if item.id.startswith(("deepspeed-", "framework-"))]
    return {item.id: item for item in sorted(found, key=lambda item: ("pass", "warn", "fail").index(item.status))}


@pytest.mark.parametrize(
    ("name", "tp", "ep", "edp"),
    [
        ("tensor", 2, [[0, 2, 4, 6], [8, 10, 12, 14], [1, 3, 5, 7], [9, 11, 13, 15]], [[0, 8], [2, 10]]),
        ("tensor_data_first", 2, [[0, 4, 8, 12], [2, 6, 10, 14], [1, 5, 9, 13], [3, 7, 11, 15]], [[0, 2], [4, 6]]),
        (
            "contiguous",
            1,
            [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]],
            [[0, 4, 8, 12], [1, 5, 9, 13]],
        ),
        ("data_first", 1, [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]], [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (
            "tp_strided",
            2,
            [[0, 2, 4, 6], [8, 10, 12, 14], [1, 3, 5, 7], [9, 11, 13, 15]],
            [[0, 8, 1, 9], [2, 10, 3, 11]],
        ),
        (
            "tp_strided",
            8,
            [[0, 8, 1, 9], [2, 10, 3, 11], [4, 12, 5, 13], [6, 14, 7, 15]],
            [[0, 2, 4, 6], [8, 10, 12, 14]],
        ),
        ("autoep", 2, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]], [[0, 4, 8, 12], [1, 5, 9, 13]]),
    ],
)
def test_expert_groups_of_sixteen_ranks(name: str, tp: int, ep: list[list[int]], edp: list[list[int]]) -> None:
    world = small(name, tp)
    assert world.groups["ep"].tolist() == ep
    assert world.groups["edp"][:2].tolist() == edp


def test_the_strategy_is_megatrons_groups_in_the_default_layout() -> None:
    ours, plain = lay_out(TRAIN), lay_out(changed(TRAIN, {"framework.name": "none"}))
    for kind, table in plain.groups.items():
        assert sorted(ours.groups[kind].tolist()) == sorted(table.tolist())
    assert ours.groups["edp"][0].tolist() == [0, 64, 128, 192]
    assert ours.groups["deepspeed.ds_model"][0].tolist() == [s * 256 + tp for s in range(4) for tp in range(4)]
    assert ours.groups["deepspeed.world"].shape == (1, 1024)


def test_zero_plus_groups() -> None:
    args = [
        "--json.zero_optimization.zero_hpz_partition_size=4",
        "--json.zero_optimization.zero_quantized_gradients=true",
    ]
    world = small("contiguous", 1, **{"framework.args": args})
    assert world.groups["deepspeed.zero_param"][1].tolist() == [4, 5, 6, 7]
    assert world.groups["deepspeed.all_to_all_local"][1].tolist() == list(range(8, 16))
    assert world.groups["deepspeed.all_to_all_global"][1].tolist() == [1, 9]


def test_uneven_layers_follow_partition_uniform() -> None:
    stages = lay_out(changed(TRAIN, {"model.num_hidden_layers": 18})).stages
    assert stages.labels == ("0-4", "5-9", "10-13", "14-17")
    assert lay_out(TRAIN).stages.labels == ("0-3", "4-7", "8-11", "12-15")


CASES: list[tuple[str, Config, Mapping[str, Any], str, str, str]] = [
    ("framework-version", TRAIN, {"framework.version": "0.3.1"}, "warn", "deepspeed 0.3.1", "framework.version=0.19.8"),
    (
        "deepspeed-order",
        TRAIN,
        {"parallel.order": "tp-cp-ep-pp-dp"},
        "fail",
        "pipe x data x model",
        "parallel.order at tp-cp",
    ),
    ("deepspeed-cp", TRAIN, {"parallel.cp": 2}, "fail", "no context-parallel axis", "parallel.cp=1 and 2 times the dp"),
    ("deepspeed-vpp", TRAIN, {"parallel.vpp": 2}, "fail", "one run of layers; vpp=2", "leave vpp out"),
    (
        "deepspeed-schedule",
        TRAIN,
        {"workload.schedule": "zero_bubble"},
        "fail",
        "TrainSchedule, which is 1F1B",
        "=1f1b",
    ),
    (
        "deepspeed-stages",
        TRAIN,
        {"parallel.stages": [1, 5, 5, 5]},
        "fail",
        "gives [4, 4, 4, 4]",
        "leave parallel.stages",
    ),
    ("deepspeed-zero-pipeline", TRAIN, {"workload.zero_stage": 2}, "fail", "zero_stage=2 with pp=4", "zero_stage=1"),
    (
        "deepspeed-zero-plus",
        changed(DENSE, {"parallel.tp": 1, "framework.args": ["--json.zero_optimization.zero_hpz_partition_size=8"]}),
        {"parallel.tp": 8},
        "fail",
        "blocks of 8 for zero_hpz_partition_size, tp ranks (tp=8) included",
        "leave --json.zero_optimization.zero_hpz_partition_size out",
    ),
    (
        "deepspeed-zero-plus",
        changed(
            DENSE, {"parallel.tp": 1, "framework.args": ["--json.zero_optimization.zero_quantized_gradients=true"]}
        ),
        {"parallel.tp": 2},
        "fail",
        "blocks of 8 for zero_quantized_gradients",
        "tp1",
    ),
    ("deepspeed-precision", TRAIN, {"workload.precision": "fp8"}, "warn", "fp8 is written as bf16", "precision=bf16"),
    (
        "deepspeed-recompute",
        TRAIN,
        {"workload.recompute": "selective"},
        "warn",
        "recompute=selective",
        "recompute=full",
    ),
    (
        "deepspeed-recompute",
        changed(TRAIN, {"workload.recompute": "full"}),
        {"parallel.pp": 1},
        "warn",
        "recompute=full with pp=1",
        "deepspeed.checkpointing.checkpoint",
    ),
    (
        "deepspeed-sequence-parallel",
        TRAIN,
        {"workload.sequence_parallel": None},
        "fail",
        "copies of each other, which they then are not (tp=4)",
        "workload.sequence_parallel=false",
    ),
    (
        "deepspeed-sequence-parallel",
        FOLDED,
        {"workload.sequence_parallel": True},
        "fail",
        "AutoTP keeps whole sequences",
        "workload.sequence_parallel=false",
    ),
    ("deepspeed-sequence-parallel", DENSE, {"workload.sequence_parallel": True}, "warn", "own doing", "=false"),
    ("deepspeed-program", TRAIN, {"launch.command": None}, "warn", "the self-check alone", "launch.command=[python3"),
    (
        "deepspeed-launcher",
        TRAIN,
        {"launch.command": ["/usr/bin/deepspeed"]},
        "fail",
        "starts with deepspeed",
        "without a",
    ),
    ("deepspeed-serving", TRAIN, {"workload.kind": "serve"}, "warn", "without a KV cache", "workload=train"),
    (
        "deepspeed-etp",
        TRAIN,
        {"parallel.etp": 1},
        "fail",
        "etp is 4 with tp=4; the plan says 1",
        "expert_layout=contiguous",
    ),
    ("deepspeed-etp", WHOLE, {"parallel.etp": 4}, "fail", "keeps experts whole", "parallel.etp=1"),
    ("deepspeed-zero3-moe", changed(WHOLE, {"parallel.pp": 1}), {"workload.zero_stage": 3}, "fail", "ZeRO 3", "autoep"),
    ("deepspeed-routing", TRAIN, {"model.n_group": 4}, "warn", "n_group=4 limits them", "autoep"),
    (
        "deepspeed-capacity",
        TRAIN,
        {"workload.sequence_length": 4000},
        "warn",
        "capacity of 125 tokens (of 1 x 4000) into tp=4 pieces",
        "min_capacity=128",
    ),
    (
        "deepspeed-tp-strided",
        changed(WHOLE, {"framework.expert_layout": "tp_strided"}),
        {"parallel.dp": None, "parallel.adp": 24},
        "fail",
        "lanes of adp=24 ranks, one after the other, into blocks of ep=16",
        "an ep that divides adp",
    ),
    (
        "deepspeed-tp-strided",
        changed(WHOLE, {"framework.expert_layout": "tp_strided"}),
        {"framework.version": "0.18.9"},
        "fail",
        "from 0.19.2",
        "contiguous",
    ),
    (
        "deepspeed-unsorted",
        changed(WHOLE, {"framework.expert_layout": "tp_strided", "parallel.tp": 1}),
        {"parallel.tp": 4},
        "warn",
        "new_group sorts the ranks",
        "contiguous",
    ),
    (
        "deepspeed-autoep-version",
        FOLDED,
        {"framework.version": "0.19.2"},
        "fail",
        "(tp=4) with 0.19.3",
        "version=0.19.8",
    ),
    ("deepspeed-autoep-pipeline", FOLDED, {"parallel.pp": 2}, "fail", "tp=4 with pp=2", "pp1 or tp1"),
    ("deepspeed-autoep-ep", FOLDED, {"parallel.ep": 1}, "fail", "gradients count tp=4 times", "ep2 or more"),
    (
        "deepspeed-autoep-json",
        FOLDED,
        {"framework.args": ['--json.zero_optimization.offload_optimizer={"device":"cpu"}']},
        "fail",
        "no offload",
        "tp1",
    ),
]


@pytest.mark.parametrize(("name", "base", "change", "status", "says", "fix"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_fires_and_does_not(
    name: str, base: Config, change: Mapping[str, Any], status: str, says: str, fix: str
) -> None:
    before = checks(base).get(name)
    assert before is None or before.status == "pass"
    found = checks(changed(base, dict(change)))[name]
    assert found.status == status
    assert says in found.message
    assert fix in found.fix
    assert found.message.lower().startswith(("deepspeed 0.", "every rank", "expert groups"))


def test_the_partition_warning_needs_a_pipeline() -> None:
    assert "stages hold [4, 4, 4, 4]" in checks(TRAIN)["deepspeed-partition"].message
    assert "deepspeed-partition" not in checks(changed(TRAIN, {"parallel.pp": 1}))


@pytest.mark.parametrize("base", [TRAIN, WHOLE, FOLDED, DENSE], ids=["train", "whole", "folded", "dense"])
def test_nothing_is_refused_without_reason(base: Config) -> None:
    assert not [item for item in checks(base).values() if item.status == "fail"]


@pytest.mark.parametrize(
    ("bad", "said", "fix"),
    [
        (["parallel.etp=1"], "deepspeed-etp", ["framework.expert_layout=contiguous"]),
        (["parallel.etp=1"], "deepspeed-etp", ["parallel.etp=4"]),
        (["parallel.order=tp-cp-ep-pp-dp"], "deepspeed-order", ["parallel.order=tp-cp-ep-dp-pp"]),
        (["parallel.cp=2", "parallel.dp=2"], "deepspeed-cp", ["parallel.cp=1", "parallel.dp=4"]),
        (["workload.sequence_parallel=null"], "deepspeed-sequence-parallel", ["workload.sequence_parallel=false"]),
        (["workload.zero_stage=2"], "deepspeed-zero-pipeline", ["workload.zero_stage=1"]),
        (
            ["parallel.vpp=2", "workload.schedule=interleaved"],
            "deepspeed-vpp",
            ["parallel.vpp=1", "workload.schedule=1f1b"],
        ),
        (
            ["framework.expert_layout=autoep", "parallel.etp=1"],
            "deepspeed-autoep-pipeline",
            ["framework.expert_layout=contiguous"],
        ),
    ],
)
def test_a_refused_plan_compiles_with_its_fix(bad: list[str], said: str, fix: list[str]) -> None:
    with pytest.raises(InvariantError, match=said):
        compile_plan([BARE, *DEEPSPEED, *bad])
    keys = {item.partition("=")[0] for item in fix}
    kept = [item for item in bad if item.partition("=")[0] not in keys]
    assert compile_plan([BARE, *DEEPSPEED, *kept, *fix]).world_size == 1024


def test_a_bare_strategy_compiles_for_deepspeed() -> None:
    plan = compile_plan([BARE, "framework=deepspeed"])
    assert plan.name == "moe_30b_ep16_tp4_pp4_dp4_deepspeed"
    assert plan.groups["deepspeed.ds_model"].shape == (64, 16)


def test_an_order_that_says_the_same_is_no_mistake() -> None:
    data_first = changed(TRAIN, {"framework.expert_layout": "tensor_data_first", "parallel.order": "tp-cp-dp-ep-pp"})
    assert checks(data_first)["deepspeed-order"].status == "pass"


def test_an_unknown_layout_is_a_bad_value() -> None:
    with pytest.raises(
        ConfigError, match=r"expert_layout=linear is not known to deepspeed ; write one of tensor, tensor_data"
    ):
        compile_plan([BARE, "framework=deepspeed", "framework.expert_layout=linear"])


def files(config: Config) -> dict[str, Any]:
    return {item.path: json.loads(str(item.text)) for item in emit.emission(lay_out(config)).files}


def test_the_json_says_batch_precision_and_zero() -> None:
    assert files(TRAIN)["framework/ds_config.json"] == {
        "train_batch_size": 1024,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 16,
        "zero_optimization": {"stage": 1},
        "bf16": {"enabled": True},
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
    }
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


def test_a_proof_without_deepspeed_says_what_to_install() -> None:
    with (
        mock.patch.dict(sys.modules, {"deepspeed": None}),
        pytest.raises(NotInstalledError, match=r"cannot be imported: .+ ; pip install deepspeed==0\.19\.8 and torch"),
    ):
        list(prove(lay_out(SERVE), None))
