"""TensorRT-LLM: where ranks and groups go, what is refused, and what it is started with."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from compiler import compile_plan, invariants
from compiler.checks import Check
from compiler.errors import ConfigError, InvariantError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.emission import Computed, Emission
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.tensorrt_llm.layout import sizes
from compiler.schedulers.job import job
from compiler.schedulers.slurm import request
from compiler.schedulers.targets.slurm import Options
from tests.configs import changed, composed
from tests.pasted import alternatives
from tests.plans import SmallPlan

NEAREST = ("framework=tensorrt_llm", "parallel=ep16_etp4_pp4_dp4", "framework.instances=4")


def checks(values: dict[str, Any], *overrides: str) -> dict[str, Check]:
    config = changed(composed("framework=tensorrt_llm", *overrides), values)
    found = {check.id: check for check in invariants.declared(config)}
    return found | {check.id: check for check in adapter("tensorrt_llm").laid_out(lay_out(config))}


def emission(*overrides: str) -> Emission:
    return adapter("tensorrt_llm").emission(lay_out(composed("framework=tensorrt_llm", *overrides)))


def test_the_nearest_form_of_the_strategy() -> None:
    groups = compile_plan([*NEAREST, "scheduler=[]"]).groups
    assert groups["tensorrt_llm.tp"][0].tolist() == groups["dp"][0].tolist() == list(range(64))
    assert groups["tensorrt_llm.moe_ep"][0].tolist() == groups["ep"][0].tolist() == list(range(16))
    assert groups["tensorrt_llm.moe_tp"][0].tolist() == [0, 16, 32, 48]
    assert groups["tensorrt_llm.pp"][0].tolist() == [0, 64, 128, 192]
    assert groups["tp"].shape == (256, 1)


def test_the_strategy_itself_is_refused_with_a_way_out() -> None:
    with pytest.raises(InvariantError) as refused:
        compile_plan(["framework=tensorrt_llm", "scheduler=[]"])
    assert "has no expert data parallelism in an instance" in str(refused.value)
    assert "all or nothing" in str(refused.value)
    for problem in refused.value.problems:
        way, *_ = alternatives(str(problem))
        assert compile_plan(["framework=tensorrt_llm", "scheduler=[]", *way]).world_size <= 1024


@pytest.mark.parametrize(("version", "tp", "cp"), [("1.1", [0, 1, 2, 3], [0, 4]), ("1.3", [0, 2, 4, 6], [0, 1])])
def test_context_parallelism_changed_places(version: str, tp: list[int], cp: list[int]) -> None:
    overrides = ("model=llama3_1_8b", "parallel=tp4_cp2_pp2", "hardware.nodes=2", f"framework.version={version}")
    groups = lay_out(composed("framework=tensorrt_llm", *overrides)).groups
    assert (groups["tp"][0].tolist(), groups["cp"][0].tolist()) == (tp, cp)
    assert groups["pp"][0].tolist() == [0, 8]


def test_what_is_left_over_goes_to_the_first_stages() -> None:
    world = lay_out(
        composed("framework=tensorrt_llm", "model=deepseek_v3", "parallel=ep8_etp1_pp4", "hardware.nodes=4")
    )
    assert [len(stage) for stage in world.stages.layers] == [16, 15, 15, 15]


WIDE = ("parallel=tp8_ep4_etp4_adp1_pp4", "framework.instances=1")
RULES: list[tuple[dict[str, Any], str, str, str]] = [
    ({}, "tensorrt_llm-replicas", "fail", "the plan has 4 copies"),
    ({}, "tensorrt_llm-attention-dp", "fail", "tp=4 with adp=64"),
    ({"model.num_experts": 0, "parallel.ep": 1}, "tensorrt_llm-replicas", "fail", "no data parallelism"),
    ({"parallel.vpp": 2}, "tensorrt_llm-virtual-stages", "fail", "vpp is 2"),
    ({"parallel.order": "tp-cp-ep-pp-dp"}, "tensorrt_llm-order", "fail", "one way only"),
    ({"framework.expert_layout": "round_robin"}, "tensorrt_llm-expert-layout", "fail", "in runs"),
    ({"parallel.stages": [5, 3, 4, 4], "framework.version": "1.1"}, "tensorrt_llm-partition", "fail", "[4, 4, 4, 4]"),
    ({"parallel.cp": 8}, "tensorrt_llm-helix-heads", "fail", "tp*cp=32"),
    ({"parallel.cp": 2}, "tensorrt_llm-cp-order", "warn", "pull request 10350"),
    ({"parallel.cp": 2}, "tensorrt_llm-context", "warn", "decoding alone"),
    ({"parallel.cp": 2, "framework.version": "1.1"}, "tensorrt_llm-context", "warn", "TensorRT backend"),
    ({"parallel.cp": 2, "framework.version": "1.1"}, "tensorrt_llm-moe-context", "fail", "ULYSSES"),
    ({"workload.kind": "train", "workload.sequence_length": 1}, "tensorrt_llm-serving", "fail", "serves models"),
    ({}, "tensorrt_llm-weights", "warn", "/models/moe_30b"),
    ({"workload.precision": "fp8"}, "tensorrt_llm-precision", "warn", "from the checkpoint"),
    ({"launch.unit": "node"}, "tensorrt_llm-unit", "fail", "one task a GPU"),
    ({"scheduler": {"local": None}}, "tensorrt_llm-mpi", "warn", "local starts each as a world of its own"),
    ({"framework.version": "0.1"}, "framework-version", "warn", "0.1"),
]


@pytest.mark.parametrize(("values", "name", "status", "text"), RULES)
def test_a_rule_speaks_up(values: dict[str, Any], name: str, status: str, text: str) -> None:
    found = checks(values)[name]
    assert (found.status, found.fix != "") == (status, True)
    assert text in found.message


def test_no_rule_speaks_up_without_need() -> None:
    values = {
        "framework.args": ["org/model"],
        "framework.version": "1.3",
        "parallel.stages": [5, 3, 4, 4],
        "scheduler": {"slurm": None},
    }
    found = checks(values, *NEAREST[1:])
    own = {name: check for name, check in found.items() if name.startswith("tensorrt_llm")}
    assert {name for name, check in own.items() if check.status != "pass"} == set()
    assert {rule[1] for rule in RULES} - set(found) == {
        "tensorrt_llm-helix-heads", "tensorrt_llm-cp-order", "tensorrt_llm-context", "tensorrt_llm-moe-context"
    }  # fmt: skip
    context = checks(
        {**values, "parallel.tp": 1, "parallel.cp": 2, "parallel.dp": None, "parallel.adp": 32}, *NEAREST[1:]
    )
    assert {check.status for name, check in context.items() if "helix" in name or "order" in name} == {"pass"}


def test_context_parallelism_is_of_a_pool_that_decodes() -> None:
    pools = "workload.pools={prefill: {parallel: tp2}, decode: {parallel: tp1_cp2}}"
    plan = compile_plan(
        ["framework=tensorrt_llm", "model=llama3_1_8b", "hardware=h200", "hardware.nodes=2", pools, "~expect"]
    )
    found = {check.id: check.status for check in plan.parts["decode"].checks}
    assert found["tensorrt_llm-context"] == "pass"


@pytest.mark.parametrize(
    "values",
    [
        {}, {"parallel.pp": 2}, {"parallel.cp": 2}, {"parallel.ep": 8, "parallel.dp": 1},
        {"parallel.tp": 2, "parallel.etp": 1}, {"model.num_experts": 0, "parallel.ep": 1, "parallel.dp": 4},
    ],
)  # fmt: skip
def test_a_fix_works(values: dict[str, Any]) -> None:
    names = ("tensorrt_llm-replicas", "tensorrt_llm-attention-dp")
    found = checks(values)
    fix = next(found[name].fix for name in names if found[name].fix).removeprefix("write ").split()
    config = changed(composed("framework=tensorrt_llm", *fix), {key: values[key] for key in values if "model" in key})
    given = changed(composed("framework=tensorrt_llm"), values)
    assert sizes(config) is not None
    assert config.degrees.world_size * config.framework.instances == given.degrees.world_size


def test_several_nodes_are_one_mpi_world() -> None:
    found = emission(*NEAREST[1:])
    assert (found.program, found.unit) == (("trtllm-llmapi-launch", "trtllm-serve"), "rank")
    assert found.arguments == (
        "/models/moe_30b", "--tp_size", "64", "--pp_size", "4", "--ep_size", "16", "--gpus_per_node", "8",
        "--max_batch_size", "2", "--max_num_tokens", "10240", "--max_seq_len", "11264",
        "--host", "0.0.0.0", "--extra_llm_api_options", Computed("{RANKPLAN_PLAN}/framework/llm_api.yaml"),
    )  # fmt: skip
    made = job(SmallPlan("small", lay_out(composed("scheduler=slurm", *NEAREST))))
    assert "--mpi=pmix" in request.of(made, Options()).step
    assert made.shared[1][0] == "framework/llm_api.yaml"


def test_one_node_starts_its_own_ranks() -> None:
    found = emission(
        "parallel=tp8", "hardware.nodes=1", "model=llama3_1_8b", "framework.args=[org/model,--host,0.0.0.0]"
    )
    assert (found.program, found.unit, found.mpi) == (("trtllm-serve",), "node", None)
    assert found.arguments[0] == "--tp_size"
    assert found.arguments[-3:] == ("org/model", "--host", "0.0.0.0")
    shared = emission("parallel=tp2", "hardware.nodes=1", "model=llama3_1_8b", "framework.instances=4")
    assert Computed("--port={PORT}", times=1, port=8000) in shared.arguments


@pytest.mark.parametrize(
    ("overrides", "content"),
    [
        (NEAREST[1:], {"dtype": "float16", "moe_tensor_parallel_size": 4, "enable_attention_dp": True}),
        (
            ("model=llama3_1_8b", "parallel=tp2_cp2_pp2", "hardware.nodes=1", "workload.precision=fp8"),
            {
                "dtype": "auto",
                "enable_attention_dp": False,
                "context_parallel_size": 2,
                "cp_config": {"cp_type": "HELIX"},
            },
        ),
        (
            ("model=llama3_1_8b", "parallel=tp4_pp2", "hardware.nodes=1", "parallel.stages=[15,17]"),
            {"dtype": "bfloat16", "enable_attention_dp": False, "pp_partition": [15, 17]},
        ),
    ],
)
def test_the_file_holds_what_has_no_option(overrides: tuple[str, ...], content: dict[str, Any]) -> None:
    assert yaml.safe_load(str(emission(*overrides).files[0].text)) == content


@pytest.mark.parametrize("word", ["--tp_size=2", "--tensor_parallel_size=2", "--cp_size=2"])
def test_an_option_of_the_plan_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=f"framework.args sets {word.split('=', maxsplit=1)[0]}"):
        emission(*NEAREST[1:], f"framework.args=['{word}']")
