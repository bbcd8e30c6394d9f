"""What clients of two pools see is what rows of two pools are predicted by, and follows the slower one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.predict import predict
from compiler import Plan, compile_plan
from compiler.costs.pooled import served
from tests.pooled_plans import ON, pools
from tests.served_rows import SIDES, planned, times

LARGE = ["hardware=h200", "model=llama3_1_70b", "workload=serve", "workload.precision=fp8", "framework=vllm"]
LARGE += ["workload.output_length=512", "framework.args=[org/model]"]


def compiled(fillers: int, batch: int, *more: str) -> Plan:
    """Prefill on servers of four GPUs, decode on one of eight."""
    both = pools(f"parallel: tp4, instances: {fillers}", f"parallel: tp8, global_batch_size: {batch}")
    nodes = f"hardware.nodes={fillers // 2 + 1}"
    return compile_plan([*LARGE, nodes, "workload.sequence_lengths=[2048]", both, *more])


def test_pools_print_what_a_row_is_predicted_by(tmp_path: Path) -> None:
    asked = times(tmp_path, **SIDES, mode="disagg", concurrency="64")
    fill, (step, measured) = dict(asked["tpot"].ask or {})["prefill"], planned(asked["tpot"])
    (found,) = served(fill, step, measured)
    assert predict([asked["ttft"], asked["tpot"]]) == [pytest.approx(found.ttft_s), pytest.approx(found.tpot_s)]
    assert found.output_tokens_per_s_per_gpu == pytest.approx(found.requests_per_s * found.output_length / 16)


def test_more_instances_that_fill_make_clients_wait_less() -> None:
    few, many = (compiled(fillers, 256).served[0] for fillers in (2, 8))
    assert many.ttft_s is not None
    assert few.ttft_s is not None
    assert many.ttft_s < few.ttft_s / 2
    assert many.tpot_s == few.tpot_s
    assert (few.batch, few.running) == (256, 256)
    assert few.requests_per_s * (few.ttft_s + few.tpot_s * 511) == pytest.approx(256)


def test_how_many_instances_match_does_not_hang_on_a_batch_that_no_server_knows() -> None:
    one, eight = (compiled(2, 64, f"workload.micro_batch_size={size}").to_dict()["rates"][0] for size in (1, 8))
    for name in ("matched_prefill_instances", "matched_decode_instances", "prefill_requests_per_s"):
        assert one[name] == pytest.approx(eight[name])


def test_the_upper_plan_says_it_with_intervals() -> None:
    plan = compiled(2, 64)
    (row,) = plan.to_dict()["served"]
    assert row["ttft_low_s"] < row["ttft_s"] < row["ttft_high_s"]
    assert row["tpot_low_s"] < row["tpot_s"] < row["tpot_high_s"]
    assert (row["sequence_length"], row["output_length"]) == (2048, 512)


def test_nothing_is_said_where_batches_take_turns() -> None:
    assert compiled(2, 64, "workload.two_batch_overlap=true").served == ()


def test_times_of_measured_loads_are_those_of_each_pool_s_phase(tmp_path: Path) -> None:
    loads = tmp_path / "loads.csv"
    loads.write_text(
        "layer,expert,load\n" + "".join(f"{layer},{e},{1 + e}\n" for layer in range(48) for e in range(128))
    )
    servers = pools("parallel: tp4_adp1_ep4_etp1, instances: 4", "parallel: tp8_adp1_ep8_etp1")
    folder = compile_plan([*ON, "framework=sglang", servers, f"experts.load={loads}"]).write(tmp_path, "plan")
    for role, head in (("prefill", "first token"), ("decode", "each further token")):
        assert f"| placement of experts | {head} | fullest rank |" in (folder / role / "report.md").read_text()
