"""Parts of a prefill and of a decode step add up to TTFT and TPOT, and the memory allows no more than it holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.rows.hardware import nominal
from compiler import calibrated
from compiler.costs.calibration import Calibration
from compiler.costs.case import case
from compiler.costs.engine import Pass
from compiler.costs.memory import fitting, memory
from compiler.costs.params import counts, totals
from compiler.costs.phases import OF_A_PASS
from compiler.costs.total import cost
from compiler.performance import performance
from tests.worlds import DEEPSEEK_V3, LLAMA_70B, MOE_30B, SERVE, world

H100 = nominal("h100_80gb")
PLANS = [("ep16_tp4_pp4_dp4", MOE_30B), ("tp8_pp2_adp8", LLAMA_70B), ("ep32_etp1_adp32", DEEPSEEK_V3)]


def serve(degrees: str, model: Any, measured: bool, **changes: Any) -> dict[str, Any]:
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    these = world(degrees, model, replace(SERVE, **changes), H100)
    found: dict[str, Any] = cost(these, Calibration(gpu) if measured else None).to_dict()["projection"]["serve"]
    return found


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(("degrees", "model"), PLANS)
def test_parts_add_up(degrees: str, model: Any, measured: bool) -> None:
    found = serve(degrees, model, measured)
    for row in found["prefill"]:
        assert sum(row["parts"].values()) == pytest.approx(row["ttft_s"])
    for row in found["decode"]:
        assert sum(row["parts"].values()) == pytest.approx(row["tpot_s"])
    for row in found["prefill"] + found["decode"]:
        assert min(row["parts"].values()) > -1e-12


@pytest.mark.parametrize("measured", [True, False])
def test_parts_are_of_what_they_are_called(measured: bool) -> None:
    one = serve("dp8", LLAMA_70B, measured)["prefill"][0]["parts"]
    assert one["tp_s"] == one["pp_s"] == one["ep_s"] == 0
    wide = serve("tp8", LLAMA_70B, measured)["prefill"][0]["parts"]
    assert wide["tp_s"] > 0
    assert wide["products_s"] < one["products_s"]
    spread = serve("ep32_etp1_adp32", DEEPSEEK_V3, measured)
    assert spread["decode"][0]["parts"]["ep_s"] > 0
    uneven = serve("ep32_etp1_adp32", DEEPSEEK_V3, measured, imbalance=2.0)
    assert uneven["decode"][0]["parts"]["ep_s"] > spread["decode"][0]["parts"]["ep_s"]


def test_every_part_of_a_pass_is_one_of_its_fields() -> None:
    """Else a renamed field would go to the host's part unseen."""
    assert all(set(names) & set(Pass.__dataclass_fields__) for names in OF_A_PASS.values())


def test_the_largest_batch_fills_the_memory() -> None:
    these = world("tp8_adp2", LLAMA_70B, replace(SERVE, sequence_lengths=[4096], output_length=0), H100)
    plan = case(these)
    held = counts(plan, totals(LLAMA_70B))
    most = int(fitting(plan, held, 4096))

    def used(each: int) -> float:
        return float(
            memory(replace(plan, workload=replace(plan.workload, global_batch_size=2 * each)), held).total_bytes.max()
        )

    assert used(most) <= H100.gpu.memory_bytes < used(most + 1)
    found = serve("tp8_adp2", LLAMA_70B, measured=False, sequence_lengths=[4096, 8192])
    assert found["decode"][0]["largest_batch"] == pytest.approx(2 * found["decode"][1]["largest_batch"], rel=0.01)


def test_what_does_not_fit_has_no_batch() -> None:
    found = serve("tp1", DEEPSEEK_V3, measured=False)
    assert [row["largest_batch"] for row in found["decode"]] == [0, 0, 0]


def test_facts_of_speed_follow_the_plan() -> None:
    plan = case(world())
    projection = cost(world()).to_dict()["projection"]
    facts = performance(plan, projection)
    prefill = projection["serve"]["prefill"]
    assert facts["prefill_intensity_shortest"] == pytest.approx(2 * 64 / 2 / (400e12 * 0.6 / (1.8e12 * 0.8)))
    assert facts["prefill_mfu"] == pytest.approx(
        max(r["tokens_per_s_per_gpu"] for r in prefill) * 2 * 4.8e9 / 400e12, rel=0.06
    )
    assert facts["decode_intensity"] is not None
    assert facts["decode_intensity"] < 0.05
    training = performance(plan, {"train": {}})
    assert set(training.values()) == {None}
