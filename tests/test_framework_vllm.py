"""vLLM's layout as its users know it, what it cannot express and what to write then, and each node's command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from compiler import compile_plan
from compiler.errors import ConfigError, InvariantError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.emission import Computed
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.options import nested, options, without
from compiler.frameworks.vllm.rules import alternatives
from compiler.passes import compile_config
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.servers import started

BASE = composed("framework=vllm", "scheduler=slurm")
DENSE = composed("framework=vllm", "model=llama3_1_8b", "parallel=tp8", "scheduler=slurm", "hardware.nodes=1")
EP16: dict[str, Any] = {"parallel.dp": None, "parallel.adp": 4, "parallel.etp": 1, "hardware.nodes": 8}


def sized(nodes: int, gpus: int = 8, **parallel: Any) -> Config:
    """A MoE plan whose experts are spread whole over each stage."""
    degrees = {"tp": 1, "cp": 1, "pp": 1, "adp": 1, **parallel}
    degrees |= {"ep": degrees["tp"] * degrees["cp"] * degrees["adp"], "etp": 1, "dp": None}
    values = {f"parallel.{name}": value for name, value in degrees.items()}
    return changed(BASE, {**values, "hardware.nodes": nodes, "hardware.node.gpus": gpus})


def test_ranks_of_a_replica_lie_together_and_experts_spread_over_replicas() -> None:
    """W16 tp2 pp2 dp4, as vLLM 0.33 lists it."""
    groups = lay_out(sized(2, tp=2, pp=2, adp=4)).groups
    assert groups["tp"][:2].tolist() == [[0, 1], [2, 3]]
    assert groups["pp"].tolist()[:3] == [[0, 2], [1, 3], [4, 6]]
    assert groups["dp"].tolist() == [[0, 4, 8, 12], [2, 6, 10, 14], [1, 5, 9, 13], [3, 7, 11, 15]]
    assert groups["ep"].tolist() == [[0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]]


def test_decode_context_crosses_prefill_context_first() -> None:
    config = changed(sized(1, 4, tp=2, cp=2), {"framework.args": ["-dcp", "4"]})
    assert lay_out(config).groups["vllm.dcp"].tolist() == [[0, 2, 1, 3]]


def test_a_rank_knows_its_coordinates() -> None:
    world = lay_out(sized(4, tp=2, cp=2, pp=2, adp=4))
    rank = ((3 * 2 + 1) * 2 + 0) * 2 + 1  # dp 3, pp 1, cp 0, tp 1
    assert [int(world.attention.coordinate(name)[rank]) for name in ("dp", "pp", "cp", "tp")] == [3, 1, 0, 1]
    assert int(world.expert.coordinate("ep")[rank]) == (3 * 2 + 0) * 2 + 1


def test_without_expert_parallelism_experts_are_cut_over_the_stage() -> None:
    config = changed(BASE, {"parallel.dp": None, "parallel.adp": 4, "parallel.ep": 1, "parallel.etp": 16})
    world = lay_out(changed(config, {"hardware.nodes": 8}))
    assert world.groups["etp"].tolist() == world.groups["vllm.ep"].tolist()
    assert "--enable-expert-parallel" not in adapter("vllm").emission(world).arguments


def test_a_round_robin_placement_deals_experts_out_in_turn() -> None:
    config = changed(BASE, {**EP16, "framework.expert_layout": "round_robin", "model.n_group": 4})
    assert lay_out(config).experts.blocks[0] == ((0, 3),)  # falls back: the back end has no routing tables
    config = changed(config, {"framework.args": ["--all2all-backend=deepep_low_latency"]})
    assert lay_out(config).experts.blocks[1] == ((1, 1), (17, 17), (33, 33), (49, 49))


def test_redundant_slots_hold_the_first_experts_again() -> None:
    args = ["--enable-eplb", "--eplb-config.num_redundant_experts=16"]
    blocks = lay_out(changed(BASE, {**EP16, "framework.args": args})).experts.blocks
    assert blocks[0] == ((0, 4),)
    assert blocks[12] == ((0, 0), (60, 63))
    assert blocks[13] == ((1, 5),)


def test_the_strategy_is_refused_with_what_vllm_can() -> None:
    with pytest.raises(
        InvariantError, match=r"vllm-expert-parallel: vLLM 0.33.0 parallel_state.py .* the plan has ep=16"
    ):
        compile_config(BASE)


@pytest.mark.parametrize("index", [0, 1])
def test_the_fixes_of_the_strategy_compile(index: int) -> None:
    fix = alternatives(BASE)[index]
    plan = compile_plan(["framework=vllm", *fix.split()])
    assert plan.world_size * plan.config.framework.instances == 1024
    assert (plan.world.degrees.ep, plan.world.degrees.etp) in ((16, 1), (1, 256))


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        ("ep8_tp8", ["parallel.dp=null parallel.adp=8 parallel.ep=64 parallel.etp=1"]),
        (
            "ep4_tp2_pp2",
            ["parallel.adp=2 parallel.etp=1 framework.instances=2", "parallel.ep=8", "parallel.ep=1 parallel.etp=8"],
        ),
        ("tp4_adp4", ["parallel.ep=1 parallel.etp=16", "parallel.ep=16 parallel.etp=1"]),
    ],
)
def test_every_offered_fix_holds(degrees: str, expected: list[str]) -> None:
    """ep8_tp8 has no replicas of 8 experts' ranks to make instances of."""
    nodes = {"ep8_tp8": 8, "ep4_tp2_pp2": 2, "tp4_adp4": 2}[degrees]
    given = ["framework=vllm", f"parallel={degrees}", f"hardware.nodes={nodes}"]
    fixes = alternatives(composed(*given))
    for text in expected:
        assert any(set(text.split()) <= set(fix.split()) for fix in fixes), fixes
    for fix in fixes:
        compile_plan([*given, *fix.split()])


def test_data_parallel_replicas_of_a_dense_model_are_instances() -> None:
    given = ["framework=vllm", "model=llama3_1_8b", "parallel=tp4_dp2", "hardware.nodes=1"]
    with pytest.raises(InvariantError, match=r"world of its own.* ; write (?P<fix>.*)") as caught:
        compile_plan(given)
    fix = re.search(r"; write (.*)", str(caught.value))
    ways = fix[1].split(" or ") if fix else []
    plan = compile_plan([*given, *next(way for way in ways if "framework.instances" in way).split()])
    ports = [item for item in adapter("vllm").emission(plan.world).arguments if isinstance(item, Computed)]
    assert ports == [Computed("--port={PORT}", times=1, port=8000)]


def test_replicas_inside_nodes_dial_in_to_the_first(tmp_path: Path) -> None:
    first, *others = started(sized(4, tp=2, pp=2, adp=8), tmp_path)
    assert first[:2] == ["serve", "/models/moe_30b"]
    ours = options(first)
    assert ours["--data-parallel-size"] == "8"
    assert ours["--data-parallel-size-local"] == "2"
    assert (ours["--data-parallel-address"], ours["--data-parallel-rpc-port"]) == ("head", "23456")
    assert "--data-parallel-start-rank" not in ours  # beside an API server it means a balancer of one's own
    assert [options(other)["--data-parallel-start-rank"] for other in others] == ["2", "4", "6"]
    assert all("--headless" in other and "--nnodes" not in options(other) for other in others)


def test_a_replica_over_nodes_is_one_executor(tmp_path: Path) -> None:
    first, *others = started(sized(8, tp=8, pp=2, adp=4), tmp_path)
    assert [options(node)["--node-rank"] for node in (first, *others)] == list("01234567")
    ours = options(first)
    assert (ours["--nnodes"], ours["--master-addr"], ours["--master-port"]) == ("8", "head", "23456")
    assert "--headless" not in first
    assert all("--headless" in other for other in others)
    assert "--data-parallel-start-rank" not in options(others[0])


def test_lengths_batch_and_precision_are_arguments(tmp_path: Path) -> None:
    ours = options(started(sized(1, tp=2, adp=4), tmp_path)[0])
    assert (ours["--max-model-len"], ours["--max-num-seqs"], ours["--dtype"]) == ("11264", "32", "float16")
    config = changed(sized(1, tp=2, adp=4), {"workload.precision": "fp8", "hardware.gpu.peak_flops.fp8": 1e15})
    assert options(started(config, tmp_path)[0])["--quantization"] == "fp8"


def test_instances_that_share_a_node_take_a_port_each(tmp_path: Path) -> None:
    config = changed(sized(2, tp=2), {"framework.instances": 8, "workload.global_batch_size": 16})
    ports = [options(started(config, tmp_path, instance)[0])["--port"] for instance in range(8)]
    assert ports == ["8000", "8001", "8002", "8003"] * 2


def test_written_stages_reach_vllm() -> None:
    config = changed(sized(1, tp=4, pp=2), {"parallel.stages": [9, 7]})
    assert adapter("vllm").emission(lay_out(config)).environment == {"VLLM_PP_LAYER_PARTITION": "9,7"}
    assert adapter("vllm").emission(lay_out(changed(config, {"parallel.stages": None}))).environment == {}


@pytest.mark.parametrize(
    "args", [["org/model", "--seed=1"], ["--model", "org/model", "--seed=1"], ["--seed=1", "--model=org/model"]]
)
def test_the_users_weights_come_first_once(args: list[str]) -> None:
    made = adapter("vllm").emission(lay_out(changed(sized(1, tp=8), {"framework.args": args})))
    assert made.arguments[0] == "org/model"
    assert made.arguments.count("org/model") == 1
    assert made.arguments[-1] == "--seed=1"
    assert not any(str(item).startswith("--model") and "len" not in str(item) for item in made.arguments)


def test_headless_nodes_have_no_api_servers(tmp_path: Path) -> None:
    config = changed(sized(2, tp=8, adp=2), {"framework.args": ["--api-server-count", "4", "--seed", "1"]})
    first, other = started(config, tmp_path)
    assert options(first)["--api-server-count"] == "4"
    assert "--api-server-count" not in options(other)
    assert "4" not in other
    assert options(other)["--seed"] == "1"


@pytest.mark.parametrize("args", [["-tp", "4"], ["--tensor_parallel_size=4"], ["--max-model-len=10"], ["--nnodes=2"]])
def test_what_the_plan_sets_is_not_the_users(args: list[str]) -> None:
    with pytest.raises(ConfigError, match=rf"framework.args sets {args[0].split('=')[0]}, and so does the plan"):
        compile_config(changed(sized(8, tp=8, pp=2, adp=4), {"framework.args": args}))


@pytest.mark.parametrize(
    "args",
    [
        ["-dp", "2"],
        ["-pcp=2"],
        ["--headless"],
        ["--data-parallel=2"],
        ["--data_parallel_size=2"],
        ["--no-enable-expert-parallel"],
    ],
)
def test_nor_what_the_plan_leaves_at_its_default(args: list[str]) -> None:
    with pytest.raises(ConfigError, match=rf"framework.args sets {args[0].split('=')[0]}, and so does the plan"):
        compile_config(changed(sized(1, tp=8), {"framework.args": args}))


def test_degrees_that_it_cannot_express_are_refused_with_what_it_can() -> None:
    strategy = composed("framework=vllm", "scheduler=[slurm,kubernetes_job]")
    with pytest.raises(InvariantError, match=r"vllm-expert-parallel: .*framework.instances=16") as refused:
        compile_config(strategy)
    assert len(refused.value.problems) == 1


def test_options_are_read_as_parsers_read_them() -> None:
    given = options(["-x", "-1", "--a=b=c", "--on", "--a", "d", "--json", '{"k": 2}', "--n.k=true"], {"-x": "--ex"})
    assert given == {"--ex": "-1", "--a": "d", "--on": "", "--json": '{"k": 2}', "--n.k": "true"}
    assert nested(given, "--json", "k") == 2
    assert nested(given, "--n", "k") is True
    assert nested({"--json": "{"}, "--json", "k") is None
    assert list(without(["--a", "1", "--b", "--a=2", "--c", "3"], "--a")) == ["--b", "--c", "3"]
