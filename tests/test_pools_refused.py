"""Pools that cannot be are refused by name, and leave nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler import ConfigError, compile_plan
from tests.command import call, tree
from tests.pasted import alternatives, pasted, refused
from tests.pooled_plans import ON, POOLS, pools

SGLANG = "framework=sglang"


def mine(more: str) -> str:
    """Pools of which prefill has something more of its own."""
    return pools(f"parallel: tp4, instances: 4, {more}".removesuffix(", "), "parallel: tp8")


class TestRefusals:
    @pytest.mark.parametrize(
        ("overrides", "code", "said"),
        [
            (["workload.pools=5"], 2, "workload.pools=5 is no pair of pools ; write {prefill: {instances: 2}"),
            (
                [pools(), "workload.pools.prefill.nodes=2"],
                2,
                "workload.pools.prefill.nodes is not a setting ; did you mean spare_nodes? Else write one of parallel",
            ),
            (
                [pools("parallel: 5")],
                2,
                "workload.pools.prefill.parallel=5 is no set of degrees ; write a name such as",
            ),
            ([pools("parallel: nope")], 2, "workload.pools.prefill.parallel=nope is not known ; write degrees, as in"),
            ([pools("parallel: tp0")], 2, "workload.pools.prefill.parallel=tp0: tp=0 is below 1"),
            ([pools("parallel: {tp: x}")], 2, "workload.pools.prefill.parallel.tp: Value 'x' of type 'str' could not"),
            ([pools("parallel: {tq: 8}")], 2, "workload.pools.prefill.parallel.tq is not a setting"),
            ([pools("instances: two")], 2, "workload.pools.prefill.instances: Value 'two' of type 'str' could not be"),
            ([pools("args: 5")], 2, "workload.pools.prefill.args=5 is no list ; write [A,B]"),
            (
                [pools("environment: [A]")],
                2,
                "workload.pools.prefill.environment=['A'] is no mapping ; write {NAME: VALUE}",
            ),
            (
                [mine("args: ['--tp-size=2']"), SGLANG],
                2,
                "prefill: workload.pools.prefill.args sets --tp-size, and so does the plan",
            ),
            (
                [mine("args: [--foo]"), SGLANG],
                3,
                "prefill: framework-arguments: workload.pools.prefill.args sets --foo, which",
            ),
            (
                [mine(""), SGLANG, "framework.args=[--foo]"],
                3,
                "prefill: framework-arguments: framework.args sets --foo, which",
            ),
            (
                [mine("environment: {A B: c}"), "scheduler=slurm"],
                2,
                "prefill: workload.pools.prefill.environment holds 'A B', which is no",
            ),
            ([mine("draft_tokens: 2"), SGLANG], 3, "layers: workload.pools.prefill.draft_tokens=2, and"),
            ([pools("instances: 0")], 2, "workload.pools.prefill.instances=0 is below 1"),
            ([POOLS, "name=" + "n" * 95], 2, "the plan's name has 95 characters, and its pools' names would have more"),
            (
                [POOLS, "workload=train"],
                3,
                "pools-serve: prefill and decode are phases of serving, and workload.kind is",
            ),
            ([POOLS, "framework.instances=2"], 3, "pools-instances: framework.instances=2 is of neither pool"),
            ([POOLS, "launch.spare_nodes=2"], 3, "pools-spares: launch.spare_nodes=2 is of neither pool"),
            (
                [pools("parallel: tp4")],
                3,
                "pools-world: the pools take prefill 1 + decode 1 = 2 nodes; the cluster has 3",
            ),
            (
                [pools("parallel: tp4, spare_nodes: 1", "parallel: tp4"), "hardware.nodes=1"],
                3,
                "between them ; write workload.pools.prefill.spare_nodes=0 workload.pools.decode.spare_nodes=1",
            ),
            (
                [pools("environment: {A: [1]}")],
                2,
                "workload.pools.prefill.environment.A=[...] is no text ; write one value, in quotes",
            ),
            (
                [pools("environment: {HF_TOKEN: hf_abcdefghijklmnopqrstuvwxyzABCDEFGH}")],
                2,
                "workload.pools.prefill.environment.HF_TOKEN looks like a token",
            ),
            ([pools("draft_tokens: -1")], 2, "workload.pools.prefill.draft_tokens=-1 is below 0"),
            (
                [POOLS, "hardware.nodes=4"],
                3,
                "pools-world: the pools take prefill 2 + decode 1 = 3 nodes; the cluster has 4",
            ),
            (
                [pools("parallel: ep16_etp2_tp1_adp8", "parallel: tp8, instances: 2")],
                3,
                "error: prefill: expert-grid: ",
            ),
        ],
    )
    def test_says_what_is_wrong_and_leaves_nothing(
        self, tmp_path: Path, overrides: list[str], code: int, said: str
    ) -> None:
        ran = call(*ON, *overrides, cwd=tmp_path)
        assert (ran.code, said in ran.err) == (code, True), ran.err
        assert tree(tmp_path) == {}

    def test_pinned_hosts_are_as_many_as_both_need(self, tmp_path: Path) -> None:
        (tmp_path / "hosts.csv").write_text("host,leaf,pod,rack\na,l,p,r\nb,l,p,r\n")
        ran = call(*ON, POOLS, "hardware.inventory=hosts.csv", "hardware.pin=true", cwd=tmp_path)
        assert ran.code == 3
        assert "inventory: the inventory has 2 hosts, the pools and their spares 3 ; pin exactly 3 hosts" in ran.err

    def test_what_is_of_one_world_is_asked_of_a_part(self) -> None:
        plan = compile_plan([*ON, POOLS])
        with pytest.raises(ConfigError, match=r'has parts, prefill and decode ; ask plan\.parts\["prefill"\] or plan'):
            _ = plan.groups
        assert plan.parts["decode"].groups["ep"].tolist() == [list(range(8))]
        alone = compile_plan([*ON, "parallel=tp8_dp3"])
        assert alone.parts[""] is alone


def test_a_cluster_of_another_size_hides_no_fault_of_a_pool() -> None:
    given = [
        *("framework=vllm", "model=qwen3_30b_a3b", "hardware=h100_80gb", "hardware.nodes=1"),
        "workload.global_batch_size=512",
        pools("parallel: tp8, instances: 2", "parallel: tp8, args: [/w,--max-num-batched-tokens,16]"),
    ]
    world, passes = refused(given)
    assert world.startswith("pools-world: ")
    assert passes.startswith("decode: vllm-pass-tokens: ")
    assert not refused(pasted(given, alternatives(world)[0]))


def test_what_both_pools_are_told_is_mended_for_both() -> None:
    given = [
        *(
            "framework=vllm",
            "model=qwen3_30b_a3b",
            "hardware=h100_80gb",
            "hardware.nodes=2",
            "workload.global_batch_size=64",
        ),
        pools("parallel: tp8", "parallel: tp8, args: [--max-logprobs, x]"),
        "framework.args=[--max-logprob,3]",
    ]
    found = refused(given)
    assert [line.split(":")[0] for line in found] == ["prefill", "decode", "decode"]
    for line in found:
        assert "framework.args=[--max-logprobs,3] workload.pools.decode.args=[]" in line or "=[] framework" in line
        assert not refused(pasted(given, alternatives(line)[0]))
