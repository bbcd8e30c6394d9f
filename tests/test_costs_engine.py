"""What continuous batching makes of a worker's passes, and what a fit of engines counts."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from compiler.costs import forward_pass
from compiler.costs.arrays import array
from compiler.costs.calibration import GpuCalibration
from compiler.costs.constants import COHORT, MLA_KERNELS, MOST_REQUESTS
from compiler.costs.engine import Demand, Prompts, Served, closed_loop, demand, prompts, serve
from compiler.costs.forward_pass import Pass, chunk_seconds, decode_seconds, fill_seconds, one_pass
from compiler.costs.shape import Shape, shape
from compiler.costs.software import Engine
from compiler.costs.work import traffic
from compiler.costs.work.forward import one_token, whole_sequences
from compiler.specs.model import Model
from compiler.speed import calibrated, kernels
from compiler.speed.fit import serving
from compiler.speed.fit.levels import Scheme, fit
from tests.worlds import DEEPSEEK_V3, LLAMA_8B, MOE_30B, SERVE, world


def curves() -> GpuCalibration:
    found = calibrated.gpu("h100_80gb")
    assert found is not None
    return found


def bits(degrees: str, model: Model = LLAMA_8B, **changes: Any) -> tuple[Shape, GpuCalibration]:
    return shape(world(degrees, model, replace(SERVE, **changes))), curves()


def asked(requests: int = 8, prompt: int = 1024, **kwargs: Any) -> Demand:
    """Of one GPU, outputs of 256 tokens."""
    return demand(*bits("tp1", global_batch_size=requests, sequence_lengths=[prompt], output_length=256), **kwargs)


def filled(prompt: int) -> Prompts:
    """Of one GPU where 64 requests are in flight."""
    return prompts(*bits("tp1", sequence_lengths=[prompt]), 64.0)


def served(load: Demand, **changes: float) -> Served:
    return serve(load, Engine(**{"queue": 0.2, **changes}))


@pytest.mark.parametrize("clients", [1.0, 8.0, 512.0])
@pytest.mark.parametrize("away", [0.0, 0.1, 100.0])
def test_a_client_of_a_closed_loop_waits_for_no_more_than_all_others(clients: float, away: float) -> None:
    spent = float(closed_loop(array(0.5), array(clients), array(away)))
    assert spent + 1e-12 >= 0.5
    assert spent <= 0.5 * clients + 1e-12
    assert spent >= 0.5 * clients - away - 1e-12


def test_a_client_alone_does_not_wait() -> None:
    assert float(closed_loop(array(0.5), array(1.0), array(3.0))) == pytest.approx(0.5)


@pytest.mark.parametrize("queue", [0.01, 1.0, 1e3])
@pytest.mark.parametrize("name", ["queue", "cohort"])
def test_no_constant_makes_a_prompt_wait_for_more_than_the_others(name: str, queue: float) -> None:
    load = asked(16)
    one, all_ = served(replace(load, running=array(1.0)), **{name: queue}), served(load, **{name: queue})
    longest = 16 * float(all_.prompt_s)
    assert float(all_.ttft_s) < float(one.ttft_s) + longest + float(all_.tpot_s)


def test_a_pool_that_fills_too_slowly_is_waited_for() -> None:
    fill = filled(1024)
    load = asked(64, fill=fill, fillers=1.0)
    slow = served(replace(load, fillers=array(0.01)))
    others = 63 * float(slow.prompt_s) / 0.01
    assert others - 256 * float(slow.tpot_s) <= float(slow.ttft_s) < others + 1
    assert float(slow.tpot_s) == pytest.approx(float(served(load).tpot_s))


def test_a_request_waits_some_decode_steps_until_it_is_noticed() -> None:
    load, none = asked(), {"poll": 0.0, "gather": 0.0}
    step = float(decode_seconds(load.decode, load.running, Engine()))
    at_once = float(served(load, **none).ttft_s)
    assert float(served(load, poll=3.0, gather=40.0).ttft_s) - at_once == pytest.approx(3 * step)
    ranks = replace(load, ranks=array(4.0))
    assert float(served(ranks, poll=0.0, gather=40.0).ttft_s - served(ranks, **none).ttft_s) == pytest.approx(40 * step)


def test_few_others_come_again_together_with_a_request() -> None:
    def waited(requests: int) -> float:
        load = asked(requests)
        more = float(served(load, cohort=0.3).ttft_s - served(load, cohort=0.0).ttft_s)
        return more / float(fill_seconds(load.group, Engine()) / load.grouped)

    assert waited(1) == pytest.approx(0, abs=1e-9)
    assert 0 < waited(4) < waited(64) < 0.3 * COHORT


def test_only_a_request_that_another_worker_filled_is_handed_over() -> None:
    alone, apart = asked(), asked(64, fill=filled(1024), fillers=1.0)
    assert float(served(alone, handoff_s=1.0).ttft_s) == float(served(alone, handoff_s=0.0).ttft_s)
    assert float(served(apart, handoff_s=1.0).ttft_s - served(apart, handoff_s=0.0).ttft_s) == pytest.approx(1.0)
    many = replace(apart, ranks=array(4.0))
    assert float(served(many, gather=40.0).ttft_s) == float(served(many, gather=0.0).ttft_s)


def test_the_host_takes_longer_for_layers_with_latent_attention() -> None:
    def host(model: Model) -> float:
        plan, gpu = bits("tp8", model)
        work = one_pass(plan, gpu, whole_sequences(plan.case, "prefill", 1024))
        return float(chunk_seconds(work, Engine()) - chunk_seconds(work, replace(Engine(), p_mla_s=0.0)))

    assert host(DEEPSEEK_V3) == pytest.approx(Engine().p_mla_s * DEEPSEEK_V3.num_hidden_layers)
    assert host(LLAMA_8B) == 0


def test_a_fit_stays_where_a_backend_starts_unless_rows_say_otherwise() -> None:
    scheme = Scheme({"a": 1.0, "b": 1.0}, {"a": 0.1}, {"backend": {"b": 0.5}}, {("backend", "x", "b"): 20.0})
    keys = [{"backend": "x"}, {"backend": "y"}]

    def said(wide: float) -> list[float]:
        found = fit(scheme, keys, lambda values: np.log(values["b"]), np.log([1.0, 1.0]), array([wide, wide]))
        return [float(np.exp(found["backend", key, "b"])) for key in "xy"]

    assert said(0.0) == pytest.approx([20.0, 1.0])
    assert said(1e2) == pytest.approx([1.0, 1.0], rel=0.05)


def test_prompts_of_a_chunk_are_filled_together() -> None:
    found = filled(1024)
    assert (float(found.grouped), float(found.steps)) == (8, 1)
    by = Engine()
    assert float(fill_seconds(found.group, by)) < 8 * float(fill_seconds(found.alone, by))
    long = filled(20_000)
    assert (float(long.grouped), float(long.steps)) == (1, 3)


def test_memory_bounds_what_runs() -> None:
    few, many = asked(4), asked(4000, prompt=8192)
    assert float(few.running) == 4
    assert float(many.running) < 4000
    assert float(served(many).ttft_s) > 100 * float(served(few).ttft_s)
    assert float(asked(batch=float("inf")).running) == pytest.approx(min(MOST_REQUESTS, float(asked(99_999).running)))


def test_a_token_takes_less_than_a_step_where_drafts_are_accepted() -> None:
    """Three drafts of which half are accepted one behind the other: 1.875 tokens of a step that checks four."""

    def tpot(**changes: Any) -> float:
        load = demand(*bits("tp8_ep8_adp1", DEEPSEEK_V3, global_batch_size=1, output_length=4096, **changes))
        return float(served(load).tpot_s)

    alone = tpot()
    found = tpot(draft_tokens=3, draft_acceptance=0.5) / alone
    assert (1 + 3 / 61) / 1.875 < found < 1
    assert tpot(draft_tokens=3, draft_acceptance=1.0) < found * alone


@pytest.mark.parametrize(("degrees", "talks"), [("tp8_ep8_adp1", False), ("tp1_ep8_adp8", True)])
def test_only_attention_dp_dispatches_to_experts(degrees: str, talks: bool) -> None:
    plan, gpu = bits(degrees, MOE_30B)
    assert (float(one_pass(plan, gpu, one_token(plan.case, 1024)).ep) > 0) is talks


def test_mla_and_narrow_products_launch_more_kernels() -> None:
    def launches(model: Model, precision: str) -> float:
        plan, gpu = bits("tp8", model, precision=precision)
        return float(one_pass(plan, gpu, one_token(plan.case, 1024)).launches)

    dense = launches(LLAMA_8B, "bf16")
    assert launches(LLAMA_8B, "fp8") == dense + 4 * LLAMA_8B.num_hidden_layers
    assert (
        launches(DEEPSEEK_V3, "bf16") / DEEPSEEK_V3.num_hidden_layers > dense / LLAMA_8B.num_hidden_layers + MLA_KERNELS
    )


def test_an_engine_reduces_by_its_own_kernel_where_that_is_quicker() -> None:
    plan, gpu = bits("tp8")
    own = kernels.on(gpu, "h100_80gb", "vllm", gpu)
    short, long = (whole_sequences(plan.case, "prefill", length) for length in (64, 65536))
    assert float(one_pass(plan, own, short).tp) < 0.8 * float(one_pass(plan, gpu, short).tp)
    assert float(one_pass(plan, own, long).tp) <= float(one_pass(plan, gpu, long).tp)
    slower = decode_seconds(one_pass(plan, own, short), array(1.0), replace(Engine(), d_tp=2.0))
    once = decode_seconds(one_pass(plan, own, short), array(1.0), Engine())
    assert float(slower - once) == pytest.approx(float(one_pass(plan, own, short).tp))


def test_servers_send_a_token_once_to_each_rank() -> None:
    """Eight ranks of attention DP whose experts are all cut over them gather each other's hidden states, whatever the top-k."""
    plan = shape(world("tp1_ep1_etp8_adp8", MOE_30B, replace(SERVE, global_batch_size=8)))
    forward = one_token(plan.case, 1024)
    flows = {flow.role: flow for flow in traffic.experts(plan.case, forward) if flow.kind == "etp"}
    states = 2 * MOE_30B.hidden_size * float(forward.tokens) * 8
    assert float(np.max(flows["dispatch"].payload)) == pytest.approx(states)


def test_norms_over_all_heads_are_summed_over_the_ranks_that_share_them() -> None:
    def roles(**changes: Any) -> list[str]:
        plan = shape(world("tp8", replace(LLAMA_8B, use_qk_norm=True, **changes), SERVE))
        return [flow.role for flow in traffic.tensor(plan.case, one_token(plan.case, 1024))]

    assert roles(qk_norm_type="per_layer") == ["norms of queries and keys", *roles(qk_norm_type="per_head")]


def test_a_fit_counts_relative_errors() -> None:
    found = serving.relative(np.log([0.9, 1.0, 1.1, 1.5, 2.0, 20.0]))
    assert found[:3].tolist() == pytest.approx([-0.1, 0.0, 0.1])
    squares = found[3:] ** 2
    assert squares[1] - squares[0] == pytest.approx(2 * serving.ROBUST * 0.5)
    assert squares[2] < 2 * serving.ROBUST * 4


def test_passes_are_summed_over_stages() -> None:
    plan, gpu = bits("tp1_pp2")
    found = one_pass(plan, gpu, one_token(plan.case, 1024))
    assert {np.shape(getattr(found, item.name)) for item in fields(Pass)} == {()}


def test_an_engine_that_looks_seldom_lets_requests_wait_for_half_as_many_steps() -> None:
    often, seldom = (served(replace(asked(), interval=array(x))) for x in (1.0, 31.0))
    step = served(asked(), poll=5.0).ttft_s - served(asked(), poll=4.0).ttft_s
    assert seldom.ttft_s - often.ttft_s == pytest.approx(15 * step)
    assert seldom.tpot_s == often.tpot_s


def test_traffic_that_belongs_to_no_part_is_not_left_out_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, gpu = bits("tp8")
    monkeypatch.delitem(forward_pass.PARTS, "tp")
    with pytest.raises(KeyError, match="tp"):
        one_pass(plan, gpu, whole_sequences(plan.case, "prefill", 1024.0))
