"""SGLang's layout as its users know it, what it cannot express and what to write then, and each node's command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from compiler import compile_plan
from compiler.errors import ConfigError, InvariantError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.options import options
from compiler.frameworks.sglang.rules import alternatives
from compiler.passes import compile_config
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.servers import started

BASE = composed("framework=sglang", "scheduler=slurm")


def sized(nodes: int, **parallel: Any) -> Config:
    """A MoE plan with the degrees given; what is not given is 1."""
    degrees = {"tp": 1, "cp": 1, "pp": 1, "adp": 1, "ep": 1, "etp": 1, "dp": None, **parallel}
    return changed(BASE, {**{f"parallel.{name}": value for name, value in degrees.items()}, "hardware.nodes": nodes})


def test_experts_are_cut_inside_and_spread_outside() -> None:
    """W16 tp8 pp2 ep4: moe_tp is fastest, then moe_ep."""
    groups = lay_out(sized(2, tp=8, pp=2, ep=4, etp=2)).groups
    assert groups["etp"][:2].tolist() == [[0, 1], [2, 3]]
    assert groups["ep"][:2].tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert groups["pp"][:2].tolist() == [[0, 8], [1, 9]]


def test_copies_of_experts_go_with_context_parallelism() -> None:
    """W8 tp8 ep4 moe_dp2 attn_cp2."""
    groups = lay_out(sized(1, tp=4, cp=2, ep=4)).groups
    assert groups["cp"].tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]] == groups["edp"].tolist()
    assert groups["ep"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert groups["sglang.tp"].tolist() == [list(range(8))]


def test_the_plan_keeps_its_own_words_beside_sglangs() -> None:
    """`tp` is attention's; the width of a stage, which `--tp-size` means, is `sglang.tp`."""
    world = lay_out(sized(2, tp=2, adp=4, pp=2, ep=8))
    assert (world.groups.size("tp"), world.groups.size("sglang.tp")) == (2, 8)
    assert "--tp-size=8" in adapter("sglang").emission(world).arguments


def test_redundant_slots_hold_the_first_experts_again() -> None:
    config = changed(sized(1, tp=8, ep=8), {"framework.args": ["--ep-num-redundant-experts", "16"]})
    blocks = lay_out(config).experts.blocks
    assert (blocks[0], blocks[6], blocks[7]) == (((0, 9),), ((0, 5), (60, 63)), ((6, 15),))


@pytest.mark.parametrize(
    ("width", "vocabulary", "rows"), [(8, 32000, 32000), (8, 50257, 50304), (96, 32000, 36864), (3, 64, 192)]
)
def test_rows_of_the_embedding_suit_the_stage(width: int, vocabulary: int, rows: int) -> None:
    config = changed(sized(1, tp=width), {"model.vocab_size": vocabulary})
    assert adapter("sglang").padded_vocab_size(config) == rows


def test_the_strategy_is_refused_with_what_sglang_can() -> None:
    with pytest.raises(InvariantError, match=r"sglang-expert-data-parallel: SGLang 0.5.23 .* etp4 x ep16 x edp4"):
        compile_config(BASE)


@pytest.mark.parametrize(("index", "instances", "width"), [(0, 4, 64), (1, 1, 256)])
def test_the_fixes_of_the_strategy_compile(index: int, instances: int, width: int) -> None:
    plan = compile_plan(["framework=sglang", *alternatives(BASE)[index].split()])
    assert (plan.config.framework.instances, plan.world_size) == (instances, 1024 // instances)
    assert plan.groups["sglang.tp"].shape == (4, width)
    assert (plan.world.degrees.ep, plan.world.degrees.edp) == (16, 1)


@pytest.mark.parametrize("degrees", ["ep8_tp8_dp2", "ep4_etp1_tp2_pp2", "ep2_etp1_tp8"])
def test_every_offered_fix_compiles(degrees: str) -> None:
    given = ["framework=sglang", f"parallel={degrees}", "hardware.nodes=16"]
    ranks = compile_ranks(given)
    given[-1] = f"hardware.nodes={ranks // 8}"
    fixes = alternatives(composed(*given))
    assert fixes
    for fix in fixes:
        assert compile_plan([*given, *fix.split()]).world.degrees.edp == 1


def compile_ranks(given: list[str]) -> int:
    return composed(*given).degrees.world_size


def test_data_parallel_replicas_of_a_dense_model_are_instances() -> None:
    given = ["framework=sglang", "model=llama3_1_8b", "parallel=tp8_dp2", "hardware.nodes=2"]
    with pytest.raises(InvariantError, match=r"sglang-dense-data-parallel") as caught:
        compile_plan(given)
    fix = re.search(r"; write (.*)", str(caught.value))
    assert compile_plan([*given, *(fix[1].split(" or ")[0].split() if fix else [])]).world_size == 8


def test_every_node_runs_the_same_server_by_its_own_number(tmp_path: Path) -> None:
    nodes = started(sized(4, tp=4, adp=4, pp=2, ep=16), tmp_path)
    assert nodes[0][:3] == ["-m", "sglang.launch_server", "--model-path=/models/moe_30b"]
    assert [options(node)["--node-rank"] for node in nodes] == list("0123")
    ours = options(nodes[3])
    assert {name: ours[name] for name in ("--tp-size", "--pp-size", "--attn-dp-size", "--ep-size", "--nnodes")} == {
        "--tp-size": "16",
        "--pp-size": "2",
        "--attn-dp-size": "4",
        "--ep-size": "16",
        "--nnodes": "4",
    }
    assert ours["--dist-init-addr"] == "head:23456"
    assert (ours["--context-length"], ours["--max-running-requests"], ours["--dtype"]) == ("11264", "128", "float16")


def test_instances_that_share_a_node_take_ports_well_apart(tmp_path: Path) -> None:
    config = changed(sized(2, tp=2, ep=2), {"framework.instances": 8, "workload.global_batch_size": 16})
    ports = [options(started(config, tmp_path, instance)[0])["--port"] for instance in range(8)]
    assert ports == ["30000", "31000", "32000", "33000"] * 2


def test_context_parallelism_is_that_of_prefill() -> None:
    config = changed(sized(1, tp=4, cp=2, ep=8), {"framework.args": ["--cp-strategy=zigzag"]})
    arguments = adapter("sglang").emission(lay_out(config)).arguments
    assert {"--attn-cp-size=2", "--enable-prefill-cp", "--cp-strategy=zigzag"} <= set(arguments)


def test_written_stages_reach_sglang() -> None:
    config = changed(sized(1, tp=4, pp=2, ep=4), {"parallel.stages": [9, 7]})
    assert adapter("sglang").emission(lay_out(config)).environment == {"SGLANG_PP_LAYER_PARTITION": "9,7"}


def test_a_dense_model_has_no_expert_options() -> None:
    world = lay_out(composed("framework=sglang", "model=llama3_1_8b", "parallel=tp8", "hardware.nodes=1"))
    assert not [
        item for item in adapter("sglang").emission(world).arguments if "--ep-size" in str(item) or "moe" in str(item)
    ]
    assert world.groups["sglang.moe_ep"].shape == (8, 1)


@pytest.mark.parametrize("args", [["--tensor-parallel-size", "4"], ["--ep=4"], ["--context-length=10"]])
def test_what_the_plan_sets_is_not_the_users(args: list[str]) -> None:
    with pytest.raises(ConfigError, match=rf"framework.args sets {args[0].split('=')[0]}, and so does the plan"):
        compile_config(changed(sized(1, tp=8, ep=8), {"framework.args": args}))


@pytest.mark.parametrize("args", [["--attn-dp-size=2"], ["--moe-dp-size", "2"], ["--nnodes=2"], ["--tensor-par=2"]])
def test_nor_what_the_plan_leaves_at_its_default_or_abbreviates(args: list[str]) -> None:
    with pytest.raises(ConfigError, match=rf"framework.args sets {args[0].split('=')[0]}, and so does the plan"):
        compile_config(changed(sized(1, tp=8, ep=8), {"framework.args": args}))


def test_attention_data_parallelism_is_asked_for_as_the_version_wants_it() -> None:
    config = sized(2, tp=4, adp=4, ep=16)
    newer = adapter("sglang").emission(lay_out(config)).arguments
    older = adapter("sglang").emission(lay_out(changed(config, {"framework.version": "0.5.21"}))).arguments
    assert set(newer) - set(older) == {"--attn-dp-size=4"}
    assert set(older) - set(newer) == {"--dp-size=4", "--enable-dp-attention"}
