"""Megatron's groups, rules and arguments, as plans say them; tests/test_framework_megatron_oracle.py asks Megatron itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler import invariants
from compiler.checks import Check
from compiler.cluster.spans import SPANS
from compiler.commands.folder import read
from compiler.commands.lookup import rank_answer, slot_answer
from compiler.errors import ConfigError, InvariantError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.emission import Computed, Emission
from compiler.frameworks.megatron import communicators, layout, model, options, pipeline
from compiler.layout.grid import GroupKind
from compiler.passes import compile_config, lay_out
from compiler.specs.config import Config
from tests.configs import changed, composed

TRAIN = composed("framework=megatron", "workload=train")
DENSE = composed("framework=megatron", "workload=train", "model=llama3_1_8b", "parallel=tp4_cp2_pp4_adp32")
SERVE = composed("framework=megatron")
MAPPED = {"parallel.order": "tp-cp-ep-pp-dp"}


def checks(config: Config) -> dict[str, Check]:
    """Megatron's own checks of a plan by id, the worst of each."""
    rules = adapter("megatron")
    found = [*rules.declared(config), *rules.laid_out(lay_out(config))]
    return {check.id: check for check in sorted(found, key=lambda check: ("pass", "warn", "fail").index(check.status))}


def emitted(config: Config) -> Emission:
    return adapter("megatron").emission(lay_out(config))


def words(config: Config) -> dict[str, tuple[str, ...]]:
    """Option -> values of what a plan emits."""
    texts = [item if isinstance(item, str) else item.text for item in emitted(config).arguments]
    return options.given(changed(config, {"framework.args": texts}))


def args(*given: str) -> dict[str, Any]:
    return {"framework.args": list(given)}


FLEX = changed(TRAIN, args("--moe-token-dispatcher-type", "flex"))
HYBRID = changed(TRAIN, args("--moe-token-dispatcher-type", "flex", "--moe-flex-dispatcher-backend", "hybridep"))
CASES: list[tuple[str, Config, dict[str, Any], str, str, str]] = [
    # rule, a plan that keeps it, what breaks it, status, message, fix
    ("framework-version", TRAIN, {"framework.version": "0.9"}, "warn", "megatron 0.9: rules are known for", "=0.19.2"),
    (
        "megatron-deepep-ranks",
        FLEX,
        {"parallel.dp": 1, "parallel.ep": 64},
        "fail",
        "an expert group of 256 ranks, and DeepEP",
        "write an ep of 40 or less",
    ),
    ("megatron-deepep-node", FLEX, {"hardware.nvlink.domain_gpus": 4}, "warn", "domains 4", "use another back end"),
    ("megatron-nvlink-domain", HYBRID, {"hardware.nvlink.domain_gpus": 72}, "warn", "of 72 GPUs in part", "PER_NVLINK"),
    (
        "megatron-order",
        TRAIN,
        {"parallel.order": "pp-tp-cp-ep-dp"},
        "fail",
        "parallel.order=pp-tp-cp-ep-dp: Megatron-Core 0.19.2 training/initialize.py lays ranks out as",
        "write parallel.order=tp-cp-ep-dp-pp",
    ),
    (
        "megatron-mapping",
        changed(TRAIN, {**MAPPED, "parallel.ep": 1, "parallel.dp": 64}),
        {"parallel.etp": 1},
        "fail",
        "wants expert DP 256 to be attention DP 64: etp*ep = 1, tp*cp = 4",
        "write parallel.order=tp-cp-ep-dp-pp",
    ),
    (
        "megatron-schedule",
        TRAIN,
        {"workload.schedule": "dualpipe"},
        "fail",
        "workload.schedule=dualpipe: Megatron-Core 0.19.2 pipeline_parallel/schedules.py runs 1f1b",
        "write workload.schedule=1f1b",
    ),
    (
        "megatron-expert-layout",
        changed(TRAIN, {"framework.expert_layout": "linear"}),
        {"framework.expert_layout": "round_robin"},
        "fail",
        "moe_layer.py gives ep rank r the experts from r*64/16 on",
        "leave framework.expert_layout out",
    ),
    ("megatron-unplanned", TRAIN, args("--yaml-cfg", "x.yaml"), "fail", "--yaml-cfg replaces every argument", "leave"),
    (
        "megatron-all-gather-groups",
        changed(TRAIN, args("--create-all-gather-group")),
        {**MAPPED, "parallel.ep": 1, "parallel.dp": 64},
        "fail",
        "adds a copy of dp_cp and one of edp for all-gathers",
        "leave --create-all-gather-group out",
    ),
    ("megatron-serving", TRAIN, {"workload.kind": "serve", "workload.sequence_lengths": [128]}, "warn", "text generation server", "write workload=train"),
    (
        "megatron-optimizer-instances",
        changed(TRAIN, args("--num-distributed-optimizer-instances", "2")),
        args("--num-distributed-optimizer-instances", "8"),
        "fail",
        "cuts adp*cp = 64 ranks and edp = 4",
        "write a divisor of both",
    ),
    (
        "megatron-optimizer-instances",
        changed(TRAIN, args("--num-distributed-optimizer-instances=2")),
        {"workload.distributed_optimizer": False},
        "fail",
        "it needs workload.distributed_optimizer=true",
        "leave",
    ),
    (
        "megatron-optimizer-instances",
        changed(DENSE, {"parallel.order": "tp-cp-ep-pp-dp", "parallel.adp": 30, **args("--num-distributed-optimizer-instances", "2")}),
        {"parallel.cp": 4, "parallel.adp": 6, **args("--num-distributed-optimizer-instances", "3"), "parallel.tp": 1},
        "pass",
        "cuts adp*cp = 24 ranks",
        "",
    ),
    (
        "megatron-hierarchical-cp",
        changed(DENSE, args("--hierarchical-context-parallel-sizes", "2")),
        args("--hierarchical-context-parallel-sizes", "2", "2"),
        "fail",
        "2 2 (Megatron-Core 0.19.2 arguments.py) must multiply to cp=2",
        "write sizes whose product is parallel.cp",
    ),
    (
        "megatron-cp-comm-type",
        changed(DENSE, args("--cp-comm-type", "p2p")),
        args("--cp-comm-type", "p2p", "a2a"),
        "fail",
        "has 2 kinds for 32 layers",
        "one for each layer",
    ),
    (
        "megatron-max-connections",
        TRAIN,
        {"launch.environment": {"CUDA_DEVICE_MAX_CONNECTIONS": "8"}},
        "fail",
        "CUDA_DEVICE_MAX_CONNECTIONS=8, tp=4, cp=1: Megatron-Core 0.19.2 arguments.py wants 1",
        "leave CUDA_DEVICE_MAX_CONNECTIONS out",
    ),
    (
        "megatron-max-connections",
        changed(TRAIN, {"workload.zero_stage": 3}),
        {"site.environment": {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}},
        "fail",
        "another value for Megatron-FSDP",
        "leave CUDA_DEVICE_MAX_CONNECTIONS out",
    ),
    (
        "megatron-max-connections",
        TRAIN,
        args("--pipeline-model-parallel-comm-backend", "ucc"),
        "fail",
        "for UCC pipelines",
        "leave --pipeline-model-parallel-comm-backend ucc out",
    ),
    ("megatron-fsdp", TRAIN, {"workload.zero_stage": 2}, "warn", "workload.zero_stage=2 is Megatron-FSDP", "zero_stage=1"),
    ("megatron-checkpoint-format", TRAIN, args("--ckpt-format", "fsdp_dtensor"), "fail", "--ckpt-format fsdp_dtensor with workload.zero_stage=0", "write --ckpt-format torch_dist"),
    ("megatron-checkpoint-format", changed(TRAIN, {"workload.zero_stage": 3}), args("--ckpt-format", "torch_dist"), "fail", "torch_dist with workload.zero_stage=3", "write --ckpt-format fsdp_dtensor"),
    ("megatron-optimizer", changed(TRAIN, {"workload.zero_stage": 3}), args("--optimizer", "muon"), "fail", "Megatron-FSDP knows sgd and adam", "adam"),
    ("megatron-positions", TRAIN, args("--max-position-embeddings", "4095"), "fail", "4095 is below the sequence of 4096 tokens", "4096"),
    ("megatron-eval-batch", TRAIN, args("--eval-global-batch-size", "100"), "fail", "over adp=64 and micro-batches is 1.5625 each", "--eval-global-batch-size 128"),
    (
        "megatron-moe-sequence-parallel",
        TRAIN,
        {"workload.sequence_parallel": False},
        "fail",
        "moe_layer.py stops in its first forward pass: experts with tp=4",
        "write workload.sequence_parallel=true",
    ),
    (
        "megatron-sequence-parallel",
        TRAIN,
        {"parallel.tp": 1, "parallel.dp": 16, "workload.sequence_parallel": True},
        "warn",
        "turns sequence parallelism off at tp=1",
        "sequence_parallel=false",
    ),
    (
        "megatron-sequence-length",
        TRAIN,
        {"workload.sequence_length": 4098},
        "fail",
        "sequences of 4098 tokens over cp=1 and then tp=4 are 1024.5 tokens each",
        "write a multiple of 4",
    ),
    (
        "megatron-interleaving",
        changed(TRAIN, {"parallel.vpp": 2}),
        args("--microbatch-group-size-per-virtual-pipeline-stage", "13"),
        "fail",
        "16 micro-batches in groups of 13 leave 3",
        "write workload.global_batch_size=1024 and leave the group size out",
    ),
    ("megatron-tp-comm-overlap", TRAIN, {"workload.sequence_parallel": False, **args("--tp-comm-overlap")}, "fail", "--tp-comm-overlap needs sequence parallelism", "leave"),
    ("megatron-no-overlap-p2p-communication", TRAIN, {"parallel.pp": 2, "parallel.vpp": 2, **args("--no-overlap-p2p-communication")}, "fail", "needs pp above 2 with vpp", "leave"),
    ("megatron-defer-embedding-wgrad-compute", TRAIN, {"parallel.pp": 1, **args("--defer-embedding-wgrad-compute")}, "fail", "needs pp above 1", "leave"),
    ("megatron-overlap-moe-expert-parallel-comm", TRAIN, args("--overlap-moe-expert-parallel-comm"), "fail", "vpp with pp", "leave"),
    ("megatron-overlap-moe-expert-parallel-comm", TRAIN, {"workload.overlapped_dispatch": True}, "fail", "workload.overlapped_dispatch: --overlap-moe", "leave workload.overlapped_dispatch out"),
    ("megatron-overlap-moe-expert-parallel-comm", TRAIN, {"parallel.vpp": 2, "model.num_nextn_predict_layers": 2, "workload.overlapped_dispatch": True}, "fail", "one MTP layer", "leave"),
    ("megatron-overlap-moe-expert-parallel-comm", TRAIN, {"parallel.vpp": 2, "workload.precision": "fp32", "workload.overlapped_dispatch": True}, "fail", "no fp32", "leave"),
    ("megatron-moe-token-dispatcher-type", TRAIN, {"workload.dispatch": "deduplicated", "parallel.ep": 1, "parallel.etp": 1, "parallel.dp": 64}, "fail", "workload.dispatch: --moe-token-dispatcher-type flex needs etp", "leave workload.dispatch out"),
    ("megatron-sharp-enabled-group", TRAIN, args("--sharp-enabled-group", "dp_replica", "--use-sharp"), "fail", "--num-distributed-optimizer-instances above 1", "leave"),
    ("megatron-sharp-enabled-group", TRAIN, args("--sharp-enabled-group", "dp"), "fail", "needs --use-sharp", "leave"),
    (
        "megatron-moe-token-dispatcher-type",
        changed(TRAIN, args("--moe-token-dispatcher-type", "flex")),
        {"parallel.ep": 1, "parallel.etp": 1, "parallel.dp": 64},
        "fail",
        "flex needs etp*ep above 1",
        "leave",
    ),
    ("megatron-transformer-impl", TRAIN, args("--transformer-impl", "inference_optimized"), "fail", "needs etp=1", "leave"),
    ("megatron-stream-groups", changed(TRAIN, args("--high-priority-stream-groups", "ep_dp", "dp_cp")), args("--high-priority-stream-groups", "edp"), "fail", "ignores names that it does not know: edp", "ep_dp"),
    ("megatron-communicators", TRAIN, args("--nccl-communicator-config-path", "none.yaml"), "warn", "none.yaml cannot be read here", "compile where the file is"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "good", "values", "status", "message", "fix"), CASES, ids=[f"{row[0]}-{i}" for i, row in enumerate(CASES)])  # fmt: skip
def test_a_rule_holds_and_breaks(
    rule: str, good: Config, values: dict[str, Any], status: str, message: str, fix: str
) -> None:
    kept = checks(good).get(rule)
    assert kept is None or kept.status == "pass"
    found = checks(changed(good, values))[rule]
    assert found.status == status
    assert message in found.message
    assert fix in found.fix


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


@pytest.mark.parametrize(
    ("broken", "fixed"),
    [
        ({"parallel.order": "dp-tp-cp-ep-pp"}, {"parallel.order": "tp-cp-ep-dp-pp"}),
        (MAPPED, {"parallel.order": "tp-cp-ep-dp-pp"}),
        ({"workload.schedule": "zero_bubble"}, {"workload.schedule": "1f1b"}),
        ({"workload.sequence_parallel": False}, {"workload.sequence_parallel": True}),
    ],
)
def test_what_the_fix_says_compiles(broken: dict[str, Any], fixed: dict[str, Any]) -> None:
    with pytest.raises(InvariantError) as error:
        compile_config(changed(TRAIN, broken))
    ((key, value),) = fixed.items()
    assert f"write {key}={str(value).lower() if isinstance(value, bool) else value}" in str(error.value)
    compile_config(changed(changed(TRAIN, broken), fixed))


def test_the_strategy_is_expressible_as_it_is_written() -> None:
    plan = compile_config(TRAIN)
    assert plan.world_size == 1024
    assert plan.groups["ep"][0].tolist() == list(range(0, 64, 4))
    assert plan.groups["edp"][0].tolist() == [0, 64, 128, 192]
    assert plan.groups["megatron.embd"].tolist() == [[rank] for rank in range(256)]


@pytest.mark.parametrize("order", ["tp-cp-ep-dp-pp", "tp-ep-cp-dp-pp", "cp-tp-ep-dp-pp"])
def test_an_order_that_changes_nothing_is_taken(order: str) -> None:
    assert checks(changed(TRAIN, {"parallel.order": order}))["megatron-order"].status == "pass"
    assert "--use-tp-pp-dp-mapping" not in words(changed(TRAIN, {"parallel.order": order}))


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


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"parallel.vpp": 2}, {"--num-virtual-stages-per-pipeline-rank": "2"}),
        ({"parallel.stages": [2, 5, 5, 4]}, {"--decoder-first-pipeline-num-layers": "2", "--decoder-last-pipeline-num-layers": "4"}),
        ({"parallel.stages": [4, 4, 4, 4]}, {}),
        ({"parallel.pp": 2, "parallel.stages": [7, 9]}, {"--decoder-first-pipeline-num-layers": "7"}),
        ({"parallel.stages": [3, 5, 4, 4]}, {"--pipeline-model-parallel-layout": "Et*3|t*5|t*4|t*4L"}),
        (
            {"parallel.pp": 2, "parallel.vpp": 2, "parallel.stages": [3, 5, 4, 4], "model.num_nextn_predict_layers": 1},
            {"--pipeline-model-parallel-layout": "Et*3|t*5|t*4|t*4m*1L"},
        ),
    ],
)  # fmt: skip
def test_stages_as_arguments(values: dict[str, Any], expected: dict[str, str]) -> None:
    assert {flag: value for flag, value in pipeline.options(changed(TRAIN, values))} == expected  # noqa: C416 - typed


def test_layers_that_do_not_divide_have_no_rule() -> None:
    with pytest.raises(
        InvariantError, match=r"18 layers over 4 stages is 4.5 each ; write parallel.stages=\[5,5,4,4\]"
    ):
        compile_config(changed(TRAIN, {"model.num_hidden_layers": 18}))


@pytest.mark.parametrize(
    ("marks", "text"),
    [
        ([0] * 3 + [1] * 58, "([0]*3+[1]*58)"),
        ([1, 0] * 18, "([1,0])*18"),
        ([1], "([1]*1)"),
        ([1, 0], "([1]*1+[0]*1)"),
        ([1, 0, 0, 1, 0], "([1]*1+[0]*2+[1]*1+[0]*1)"),
    ],
)
def test_patterns_of_layers(marks: list[int], text: str) -> None:
    assert model.pattern(marks) == text
    assert eval(text) == marks  # which is how Megatron reads it


@pytest.mark.parametrize(
    ("name", "expected", "absent"),
    [
        ("llama3_1_8b", {"--swiglu": (), "--normalization": ("RMSNorm",), "--group-query-attention": (), "--num-query-groups": ("8",), "--untie-embeddings-and-output-weights": ()}, "--num-experts"),
        ("gpt3_175b", {"--ffn-hidden-size": ("49152",), "--kv-channels": ("128",)}, "--untie-embeddings-and-output-weights"),
        ("mixtral_8x7b", {"--num-experts": ("8",), "--moe-router-topk": ("2",), "--moe-ffn-hidden-size": ("14336",), "--moe-token-dispatcher-type": ("alltoall",)}, "--moe-layer-freq"),
        ("gpt_oss_120b", {"--window-size": ("127,0",), "--window-attn-skip-freq": ("([1,0])*18",), "--kv-channels": ("64",)}, "--mtp-num-layers"),
        (
            "deepseek_v3",
            {
                "--multi-latent-attention": (), "--q-lora-rank": ("1536",), "--kv-lora-rank": ("512",), "--qk-head-dim": ("128",),
                "--qk-pos-emb-head-dim": ("64",), "--v-head-dim": ("128",), "--mtp-num-layers": ("1",), "--moe-layer-freq": ("([0]*3+[1]*58)",),
                "--moe-shared-expert-intermediate-size": ("2048",), "--moe-router-num-groups": ("8",), "--moe-router-group-topk": ("4",),
            },
            "--group-query-attention",
        ),
    ],
)  # fmt: skip
def test_the_architecture_as_arguments(name: str, expected: dict[str, tuple[str, ...]], absent: str) -> None:
    config = composed("framework=megatron", "workload=train", f"model={name}", "parallel=adp1024")
    found = words(config)
    assert {flag: found.get(flag) for flag in expected} == expected
    assert absent not in found


@pytest.mark.parametrize(
    ("values", "expected", "absent"),
    [
        ({}, {"--bf16": (), "--sequence-parallel": (), "--use-distributed-optimizer": (), "--overlap-param-gather": ()}, "--use-megatron-fsdp"),
        ({"workload.precision": "fp8"}, {"--bf16": (), "--fp8-format": ("hybrid",)}, "--fp4-format"),
        ({"workload.precision": "fp4"}, {"--bf16": (), "--fp4-format": ("e2m1",)}, "--fp8-format"),
        ({"workload.precision": "fp16"}, {"--fp16": ()}, "--bf16"),
        ({"workload.precision": "fp32"}, {}, "--bf16"),
        ({"workload.recompute": "full"}, {"--recompute-granularity": ("full",), "--recompute-method": ("uniform",), "--recompute-num-layers": ("1",)}, "--fp16"),
        ({"workload.recompute": "selective"}, {"--recompute-granularity": ("selective",)}, "--recompute-method"),
        ({"workload.distributed_optimizer": False}, {"--overlap-grad-reduce": ()}, "--use-distributed-optimizer"),
        ({"workload.zero_stage": 3}, {"--use-megatron-fsdp": (), "--data-parallel-sharding-strategy": ("optim_grads_params",), "--ckpt-format": ("fsdp_dtensor",)}, "--fp16"),
        ({"workload.zero_stage": 2}, {"--data-parallel-sharding-strategy": ("optim_grads",)}, "--fp16"),
        ({"model.num_experts_per_tok": 1}, {"--moe-router-pre-softmax": ()}, "--fp16"),
    ],
)  # fmt: skip
def test_the_workload_as_arguments(values: dict[str, Any], expected: dict[str, tuple[str, ...]], absent: str) -> None:
    found = words(changed(TRAIN, values))
    assert {flag: found.get(flag) for flag in expected} == expected
    assert absent not in found


def test_what_nobody_states_is_the_users_to_say() -> None:
    given = args("--position-embedding-type", "none", "--quick-geglu", "--distributed-timeout-minutes", "60", "--normalization=LayerNorm")  # fmt: skip
    found = words(changed(DENSE, given))
    assert found["--position-embedding-type"] == ("none",)
    assert found["--distributed-timeout-minutes"] == ("60",)
    assert found["--normalization"] == ("LayerNorm",)
    assert "--swiglu" not in found
    assert words(DENSE)["--distributed-timeout-minutes"] == ("30",)


@pytest.mark.parametrize("flag", sorted(options.OWNED))
def test_what_the_plan_decides_is_not(flag: str) -> None:
    with pytest.raises(
        ConfigError, match=f"framework.args sets {flag}, and so does the plan ; leave it out, and write"
    ):
        list(adapter("megatron").declared(changed(TRAIN, args(flag, "2"))))


def test_everything_sure_that_is_emitted_is_owned() -> None:
    free = {"--expert-tensor-parallel-size", "--disable-bias-linear", "--overlap-grad-reduce", "--overlap-param-gather"}
    open_ = {flag for flag, *_ in _defaults(TRAIN)} | {"--nccl-communicator-config-path"}
    assert set(words(TRAIN)) - open_ - free <= set(options.OWNED)


def _defaults(config: Config) -> list[tuple[str, ...]]:
    from compiler.frameworks.megatron.emit import defaults

    return list(defaults(config))


@pytest.mark.parametrize("words_", [("--num-distributed-optimizer-instances", "two"), ("--make-vocab-size-divisible-by=0",)])  # fmt: skip
def test_numbers_that_are_none(words_: tuple[str, ...]) -> None:
    config = changed(TRAIN, args(*words_))
    with pytest.raises(ConfigError, match="is not made of numbers above 0"):
        options.number(config, words_[0].partition("=")[0], 1)


def test_the_vocabulary_is_padded_for_each_rank() -> None:
    assert lay_out(TRAIN).padded_vocab_size == 32256  # 63 * 128 * 4
    assert lay_out(changed(TRAIN, args("--make-vocab-size-divisible-by", "1"))).padded_vocab_size == 32000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["--moe-token-dispatcher-type alltoall"]),
        ({"workload.dispatch": "deduplicated"}, ["--moe-token-dispatcher-type flex"]),
        (
            {"workload.dispatch": "capacity"},
            [
                "--moe-token-dispatcher-type alltoall",
                "--moe-expert-capacity-factor 1.0",
                "--moe-pad-expert-input-to-capacity",
            ],
        ),
        (
            {"workload.overlapped_dispatch": True, "parallel.vpp": 2},
            ["--moe-token-dispatcher-type alltoall", "--overlap-moe-expert-parallel-comm"],
        ),
        (args("--moe-token-dispatcher-type", "allgather"), ["--moe-token-dispatcher-type allgather"]),
    ],
)
def test_tokens_reach_experts_as_the_workload_has_it(values: dict[str, Any], expected: list[str]) -> None:
    words = " ".join(str(word) for word in emitted(changed(TRAIN, values)).arguments)
    names = ("--moe-token-dispatcher-type", "--moe-expert-capacity-factor", "--moe-pad-expert", "--overlap-moe")
    assert [f"--{part}".strip() for part in words.split("--") if f"--{part}".startswith(names)] == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "1"),
        ({"parallel.tp": 1, "parallel.dp": 16}, None),
        ({"parallel.tp": 1, "parallel.cp": 2, "parallel.dp": 8}, "1"),
        ({"workload.zero_stage": 3}, None),
        (args("--overlap-moe-expert-parallel-comm"), None),
        ({"workload.overlapped_dispatch": True}, None),
        ({"hardware.gpu.peak_flops.fp4": 1e16}, None),
    ],
)
def test_one_connection_where_megatron_insists(values: dict[str, Any], expected: str | None) -> None:
    assert emitted(changed(TRAIN, values)).environment.get("CUDA_DEVICE_MAX_CONNECTIONS") == expected


def test_programs() -> None:
    assert emitted(TRAIN).program == ("python3", "pretrain_gpt.py")
    assert emitted(TRAIN).unit == "rank"
    assert emitted(SERVE).program == ("python3", "tools/run_dynamic_text_generation_server.py")
    found = words(SERVE)
    assert found["--inference-max-seq-length"] == found["--seq-length"] == ("11264",)
    assert "--global-batch-size" not in found


def test_the_communicator_file_names_what_leaves_nvlink() -> None:
    emission = emitted(TRAIN)
    (file,) = emission.files
    assert file.path == "framework/nccl_communicators.yaml"
    assert file.text == "pp: {is_high_priority_stream: true}\nep: {is_high_priority_stream: true}\n"
    assert Computed("{RANKPLAN_PLAN}/framework/nccl_communicators.yaml") in emission.arguments
    near = changed(TRAIN, {"parallel.pp": 1, "parallel.ep": 2})
    assert lay_out(near).worst_span("ep") == SPANS[1]
    assert emitted(near).files == ()
    assert "--nccl-communicator-config-path" not in words(near)


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("ep: {max_ctas: 8}\n", "pass", "every key is known"),
        ("{}\n", "pass", "every key is known"),
        ("dp-cp: {max_ctas: 8}\n", "fail", "dp-cp is no group"),
        ("ep: {ctas: 8}\n", "fail", "ep.ctas is no option"),
        ("ep: 8\n", "fail", "ep is no mapping of options"),
        ("ep: {net_name: efa}\n", "fail", "ep.net_name=efa is neither IB nor socket"),
        ("# nothing\n", "fail", "it is no mapping of groups"),
        ("a: [\n", "fail", "it is no mapping of groups"),
    ],
)
def test_a_communicator_file_of_the_users(tmp_path: Path, text: str, status: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    config = changed(TRAIN, args("--nccl-communicator-config-path", str(path)))
    found = checks(config)["megatron-communicators"]
    assert (found.status, message in found.message) == (status, True)
    assert emitted(config).files == ()


def test_communicators_of_a_version() -> None:
    given = args("--high-priority-stream-groups", "gtp_remat")
    assert checks(changed(TRAIN, given))["megatron-stream-groups"].status == "pass"
    assert checks(changed(TRAIN, {**given, "framework.version": "0.16.1"}))["megatron-stream-groups"].status == "fail"


def test_very_many_groups_are_worth_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks(TRAIN)["megatron-groups"].observed == "5057"
    monkeypatch.setattr(communicators, "MANY", 5000)
    found = checks(TRAIN)["megatron-groups"]
    assert found.status == "warn"
    assert "every rank walks through 5057 groups at start" in found.message
