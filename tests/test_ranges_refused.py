"""Numbers and words out of range: what is refused, with the value quoted short."""

from __future__ import annotations

import time
from typing import Any

import pytest

from compiler.config.load import load_config
from compiler.errors import ConfigError, InvariantError, short
from compiler.passes import compile_config
from compiler.pools import compile_any
from compiler.specs.limits import RANKS
from tests.configs import changed
from tests.invariant_configs import STRATEGY

HUGE = 10**400


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["hardware.nodes=100000000"], "hardware.nodes=100000000 is above 1048576 ; write at most 1048576"),
        (
            ["hardware.gpu.memory_bytes=0.5"],
            r"hardware.gpu.memory_bytes=0.5 is below 1e\+06 bytes ; write 1e\+06 or more",
        ),
        (["model.declared.moe_params=1e308"], r"is above 1e\+18 parameters ; write at most 1e\+18"),
        ([f"parallel.tp={HUGE}"], "parallel.tp is a number of 401 digits ; write a number that a setting can hold"),
        ([f"parallel.tp={10**99}"], r"parallel.tp=\(a number of 100 digits\) is above 2097152"),
        ([f"hardware.gpu.memory_bytes={HUGE}"], "hardware.gpu.memory_bytes is a number of 401 digits"),
        ([f"parallel=tp{HUGE}_dp9"], r"\.\.\. \(407 characters\): tp is above 2097152 ; write tp and a number"),
        (["parallel=tp99999999999_dp9"], "parallel=tp99999999999_dp9: tp is above 2097152"),
        (["parallel.ep=0"], "^parallel.ep=0 is below 1 ; write 1 or more$"),
        (
            ["workload.pools={prefill: {parallel: {ep: 0}}, decode: {instances: 1000000000}}"],
            "workload.pools.prefill.parallel.ep=0 is below 1",
        ),
        (["workload.pools={prefill: {parallel: tp99999999999}, decode: {}}"], "tp is above 2097152"),
        (
            ["scheduler=[kubernetes_job]", "scheduler.kubernetes_job.ttl_s=-1"],
            "scheduler.kubernetes_job.ttl_s=-1 is below 0",
        ),
        (["workload.sequence_lengths=[[]]"], r"workload.sequence_lengths\[0\]=\[\] is one list or mapping too many"),
        (
            ["workload.sequence_lengths=[" + "1," * 64 + "1]"],
            "workload.sequence_lengths has 65 entries ; write at most 64",
        ),
        (["parallel.stages=[1,[1]]"], r"parallel.stages\[1\]=\[1\] is one list or mapping too many"),
        (
            ["launch.mounts=" + "[" * 12 + "1" + "]" * 12],
            r"launch.mounts(\[0\])+=\[\[\[1\]\]\] is one list or mapping too",
        ),
        (["launch.environment={A: 1e400}"], "launch.environment.A=inf is not a finite number"),
        (
            ["model.name=" + "x" * 5000],
            r"model.name=x{60}\.\.\. \(5,000 characters\) has 5000 characters ; write at most",
        ),
        (["launch.python=''"], "launch.python= has 0 characters ; write 1 to 4096"),
        (["launch.restart_codes=[256]"], r"launch.restart_codes\[0\]=256 is above 255"),
        (["model.moe_layer_freq=true"], "model.moe_layer_freq=True is neither a period nor a list"),
        (["model.moe_layer_freq=[[]]"], r"model.moe_layer_freq=\[\[\]\] is not made of 0 and 1"),
        (["scheduler=[slurm]", "scheduler.slurm=5"], "scheduler.slurm=5 is no set of options"),
        (
            ["hardware=[h200,b200]"],
            r"hardware=\[h200,b200\] names several files, and hardware is one ; write one of a100",
        ),
        (["model=[[]]"], r"model=\[\[\]\] names several files"),
        (["framework=[]"], r"framework=\[\] names no option of the group framework"),
        (["experts.last=x.json"], "experts.last=x.json cannot be read"),
        (
            ["experts.last='a\n'"],
            "experts.last has no loads to make a new map of ; write experts.load=FILE, or leave experts.last out",
        ),
        (["model={}"], "model={} names no option of the group model"),
        (["scheduler=[[slurm]]"], r"scheduler=\[\[slurm\]\] is no list of names ; write one of jobset"),
        (["scheduler=[null]"], r"scheduler=\[null\] is no list of names"),
    ],
)
def test_what_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(["scheduler=[]", *overrides])


def test_degrees_of_a_file_have_the_same_ranges(tmp_path: Any) -> None:
    (tmp_path / "parallel").mkdir()
    (tmp_path / "parallel/mine.yaml").write_text(f"tp: {10**29}\nep: 0\n")
    for overrides in (["parallel=mine"], ["workload.pools={prefill: {parallel: mine}, decode: {}}"]):
        with pytest.raises(ConfigError) as caught:
            load_config(["scheduler=[]", *overrides], str(tmp_path))
        assert [problem.what.partition("parallel.")[2] for problem in caught.value.problems] == [
            "tp=100000000000000000000000000000 is above 2097152",
            "ep=0 is below 1",
        ]


def test_a_number_of_a_file_that_no_float_holds(tmp_path: Any) -> None:
    (tmp_path / "hardware").mkdir()
    (tmp_path / "hardware/mine.yaml").write_text(f"nvlink: {{bandwidth: {HUGE}}}\n")
    with pytest.raises(ConfigError, match="an integer of 401 digits"):
        load_config(["scheduler=[]", "hardware=mine"], str(tmp_path))


class TestTheWorld:
    @pytest.mark.parametrize(
        "change", [{"parallel.adp": RANKS}, {"framework.instances": RANKS}, {"parallel.cp": 2**15}]
    )
    def test_beyond_all_bounds_is_refused_before_anything_else(self, change: dict[str, Any]) -> None:
        start = time.process_time()
        with pytest.raises(InvariantError, match=r"world-size: .* ranks; a plan has at most 2097152") as caught:
            compile_config(changed(STRATEGY, {"parallel.dp": None, **change}))
        assert len(caught.value.problems) == 1
        assert time.process_time() - start < 1

    def test_of_the_wrong_size_is_not_laid_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("compiler.passes.lay_out", lambda _: pytest.fail("laid out"))
        with pytest.raises(InvariantError, match=r"world-size: .* the cluster has 127 nodes"):
            compile_config(changed(STRATEGY, {"hardware.nodes": 127}))

    def test_of_two_pools(self) -> None:
        pool = "{parallel: tp8, instances: 200000}"
        with pytest.raises(
            InvariantError, match="world-size: the pools have 3200000 ranks; a plan has at most 2097152"
        ):
            compile_any(load_config(["scheduler=[]", f"workload.pools={{prefill: {pool}, decode: {pool}}}"]))

    def test_more_stages_than_layers(self) -> None:
        with pytest.raises(InvariantError, match=r"over 16777216 chunks is .* ; write a pp.vpp that divides 16"):
            compile_config(changed(STRATEGY, {"parallel.pp": 4096, "parallel.vpp": 4096}))


def test_a_value_is_quoted_short() -> None:
    cases: dict[str, Any] = {
        "x" * 60: "x" * 60,
        "x" * 60 + "... (61 characters)": "x" * 61,
        "1" + "0" * 50: 10**50,
        "(a number of 10,000 digits)": -(10**9999),
        "(a value with a number of thousands of digits)": [10**9999],
        "None": None,
    }
    assert {said: short(value) for said, value in cases.items()} == {said: said for said in cases}
