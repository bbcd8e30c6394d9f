"""A mistake in an override is one line of `what ; instead` on stderr, the right exit code, and nothing on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.schedulers import registry
from tests.command import BARE, program, refused, tree

SPELLINGS = [
    ("typo=1", "typo is not a setting"),
    ("+modle=moe_30b", "did you mean model?"),
    ("hardware.typo=1", "hardware.typo is not a setting"),
    ("+hardware.typo=1", "hardware.typo is not a setting"),
    ("++hardware.gpu.memory_byte=1", "did you mean hardware.gpu.memory_bytes?"),
    ("hardware={nodes:1,typo:2}", "hardware.typo is not a setting"),
    ("scheduler.slurm.partition=gpu", "scheduler.slurm is not a setting"),
    ("+scheduler.slurm.typo=1", "scheduler.slurm.typo is not a setting"),
    ("parallel=8", "write degrees, as in"),
    ("parallel=null", "write degrees, as in"),
    ("parallel=ep8_tq8", "'tq8' is not a degree"),
    ("parallel=tp-4", "'tp-4' is not a degree"),
    ("parallel=tp0", "tp=0 is below 1"),
    ("parallel=foo", "parallel=foo is not known"),
    ("parallel.adp=64", "parallel.dp=4 and parallel.adp=64 exclude each other"),
    ("hardware=nope", "write one of a100_40gb"),
    ("expect=nope", "expect=nope is not known"),
    ("expect=null", "or ~expect for none"),
    ("scheduler=[nope]", "scheduler=nope is not known"),
    ("nodes", "'nodes' is no override"),
    ("name=a=b", "quote it, as in 'name=\"a=b\"'"),
    ("out=~/plans", "out=~/plans cannot be read"),
    ("launch.environment.A=1,2", "launch.environment.A=1,2 has several values"),
    ("hardware.nodes=${nope}", "hardware.nodes: Interpolation key 'nope' not found"),
]

TYPES = [
    ("parallel.tp=1.5", "'1.5' of type 'float'"),
    ("parallel.tp=true", "'True' of type 'bool'"),
    (
        "launch.command=[python3,t.py,a=b]",
        "an equals sign outside of quotes ; quote it, as in 'launch.command=[python3,t.py,\"a=b\"]'",
    ),
    (
        "launch.environment.NCCL_IB_HCA==mlx5_1",
        "has an equals sign outside of quotes ; quote it, as in 'launch.environment.NCCL_IB_HCA=\"=mlx5_1\"'",
    ),
    ("~model", "~model leaves the plan without a model ; leave it out, or choose another model"),
    ("~scheduler", "~scheduler leaves the plan without a scheduler ; write scheduler=[]"),
    ("~parallel.tp", "~parallel.tp takes away a setting, which has a value in any case"),
    ("framework.args=[null]", "framework.args[0]=null is no value"),
    ("framework.instances=null", "framework.instances=null is no value"),
    ("workload.pools={prefill: null, decode: {parallel: tp4}}", "workload.pools.prefill=null is no pool"),
    ("workload.pools={prefill: {args: null}, decode: {}}", "workload.pools.prefill.args=null is no value"),
    ("workload.pools={prefill: {}, decode: {instances: null}}", "workload.pools.decode.instances=null is no value"),
    ("workload.pools={prefill: {}, decode: {args: [null]}}", "workload.pools.decode.args[0]=null is no value"),
    ("parallel.tp=null", "parallel.tp=null is no value"),
    ("hardware.nodes=many", "'many' of type 'str'"),
    ("hardware.nodes=???", "hardware.nodes has no value"),
    ("hardware.inventory=nope.csv", "hardware.inventory=nope.csv cannot be read"),
    ("model.hf_config=nope.json", "model.hf_config=nope.json cannot be read"),
    ("expect.strict=maybe", "not a valid bool"),
    ("launch.command=train.py", "launch.command=train.py is not a list ; write key=[a,b]"),
    (
        "framework.args.max-num-seqs=0",
        "framework.args.max-num-seqs: framework.args is a list, and has no names ; write all of it, as in framework.args=[A,B]",
    ),
    ("parallel.stages.first=3", "parallel.stages is a list, and has no names"),
    ("framework.args.7=x", "framework.args.7=x: the list has no such entry ; write key=[a,b]"),
]

VALUES = {
    "parallel.tp=0": "parallel.tp=0 is below 1",
    "parallel.ep=-4": "parallel.ep=-4 is below 1",
    "parallel.order=tp-tp-cp-dp-pp": "write each of tp, cp, ep, dp, pp once",
    "parallel.stages=[-1,16]": "parallel.stages[0]=-1 is below 0",
    "hardware.gpu.memory_bytes=nan": "not a finite number",
    "hardware.gpu.memory_efficiency=1.5": "is above 1",
    "hardware.fabric.kind=ring": "write one of rail_optimized, fat_tree, flat",
    "model.moe_layer_freq=[1,0]": "2 entries for 16 layers",
    "model.layer_types=[full_attention]": "1 entries for 16 layers",
    "name=../x": "name=../x cannot name a folder",
    "sweep=../x": "sweep=../x cannot name a folder",
    "out=": "out= names no folder",
    "workload.sequence_lengths=[]": "workload.sequence_lengths has no value",
    "workload.pools={prefill: {instances: 1}}": "workload.pools.decode has no value",
    "launch.environment={A: [1]}": "launch.environment.A=[...] is no text",
    "launch.unit=core": "write one of rank, node",
    "launch.workdir='/caf\udce9'": "which is no character ; write it in UTF-8",
}

MORE_VALUES = {
    "name=" + "a" * 101: "up to 100 letters",
    "model.moe_layer_freq=often": "neither a period nor a list",
    "workload.kind=train": "workload.sequence_length has no value",
    "framework.name=nope": "framework.name=nope is not a known framework",
}

RELATIONS = [
    (
        ["parallel=ep3_tp3_pp3"],
        {
            "experts: num_experts 64 over ep=3",
            "attention-heads: num_attention_heads 16 over tp=3",
            "hidden-size: hidden_size 1024 over tp=3",
            "layers-to-stages: 16 layers over 3 stages",
            "world-size: tp3 x cp1 x adp3 x pp3 = 27 ranks; the cluster has 128 nodes x 8 GPUs = 1024",
        },
    ),
    (["parallel=tp4_pp4_adp24_ep64"], {"expert-grid: a stage of tp4 x cp1 x adp24 = 96 ranks", "world-size: "}),
    (
        ["hardware.gpu.memory_bytes=4e9", "hardware.pin=true", "launch.checkpoint_signal_s=100000"],
        {"memory: rank ", "hardware.pin=true has no hosts", "checkpoint-signal: "},
    ),
    (["parallel.stages=[4,4,4,5]"], {"hold 17 of 16 layers"}),
]


class TestOverrides:
    @pytest.mark.parametrize(("override", "said"), [*SPELLINGS, *TYPES])
    def test_one(self, tmp_path: Path, override: str, said: str) -> None:
        assert said in refused(tmp_path, BARE, override, code=2).err

    @pytest.mark.parametrize("values", [VALUES, MORE_VALUES])
    def test_every_bad_value_is_listed(self, tmp_path: Path, values: dict[str, str]) -> None:
        ran = refused(tmp_path, BARE, *values, code=2)
        for said in values.values():
            assert sum(said in line for line in ran.errors) == 1, (said, ran.err)

    @pytest.mark.parametrize(("overrides", "said"), RELATIONS)
    def test_every_broken_invariant_is_listed(self, tmp_path: Path, overrides: list[str], said: set[str]) -> None:
        ran = refused(tmp_path, BARE, *overrides, code=3)
        assert [text for text in said if text not in ran.err] == []

    @pytest.mark.parametrize("option", ["--foo", "--foo=1", "-z", "--cfg=nope", "--config-dir"])
    def test_an_option(self, tmp_path: Path, option: str) -> None:
        assert "command line: " in refused(tmp_path, BARE, option, code=2).err

    def test_two_kubernetes_controllers(self, tmp_path: Path) -> None:
        controllers = [name for name in registry.names() if registry.target(name).kubernetes]
        if len(controllers) < 2:
            pytest.skip(f"there is one controller, {controllers[0]}")
        ran = refused(tmp_path, f"scheduler=[{controllers[0]},{controllers[1]}]", code=2)
        assert "keep one of them" in ran.err

    def test_a_process_says_it_all_the_same(self, tmp_path: Path) -> None:
        ran = program("parallel=ep8_tq8", cwd=tmp_path)
        assert (ran.code, ran.out, len(ran.errors)) == (2, "", 1)
        assert "Traceback" not in ran.err
        assert not tree(tmp_path)
