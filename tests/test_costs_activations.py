"""Activations: the published formulas, what recomputation keeps, the loss, and micro-batches in flight."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from compiler.costs.arrays import array
from compiler.costs.case import case
from compiler.costs.pipeline.flight import in_flight
from compiler.costs.work.activations import in_training, passing, stored_each
from compiler.costs.work.memory import allocated, reserved
from compiler.frameworks.lifted import Source
from tests.costed import held, parts, under
from tests.worlds import DEEPSEEK_V3, GPT3, LLAMA_8B, MIXTRAL, TRAIN, world


@pytest.mark.parametrize(
    ("tp", "sequence_parallel", "form"), [(1, False, 34), (8, True, 34 / 8), (8, False, 10 + 24 / 8)]
)
def test_activations_of_a_gpt_layer_are_the_published_forms(tp: int, sequence_parallel: bool, form: float) -> None:
    """2205.05198: s*b*h*34/t with sequence parallelism, s*b*h*(10 + 24/t) without, scores recomputed. Two hidden states are
    whole where sequence parallelism gathers them.
    """
    workload = replace(TRAIN, sequence_length=2048, recompute="selective", sequence_parallel=sequence_parallel)
    found = world(f"tp{tp}", GPT3, replace(workload, global_batch_size=1))
    logits = 4 * 2048 * (12_288 + found.traits.padded_vocab_size) / tp
    gathered = 2 * 2 * 2048 * 12_288 * sequence_parallel
    assert in_training(case(found))[0] == pytest.approx(96 * 2048 * 12_288 * form + logits + gathered, rel=1e-12)


def test_activations_of_a_gated_layer_with_grouped_heads() -> None:
    """Four hidden states, queries and output, keys and values, gate, up and product; no dropout masks."""
    found = world("tp1", LLAMA_8B, replace(TRAIN, recompute="selective", global_batch_size=1))
    layer = 2 * (4 * 4096 + 2 * 32 * 128 + 2 * 8 * 128 + 3 * 14_336)
    assert in_training(case(found))[0] == 4096 * (32 * layer + 4 * (4096 + 128_256))


def test_full_recomputation_keeps_inputs_and_one_layer() -> None:
    workload = replace(TRAIN, sequence_length=2048, recompute="full", global_batch_size=1)
    found = in_training(case(world("tp8", GPT3, workload)))[0]
    inputs, layer = 96 * 2 * 2048 * 12_288 / 8, 34 * 2048 * 12_288 / 8
    assert layer > 4 * 2048 * (12_288 + 50_264) / 8  # the logits are gone by then
    assert found == pytest.approx(inputs + layer + 2 * 2 * 2048 * 12_288, rel=1e-12)


def test_the_loss_and_a_layers_backward_pass_take_turns() -> None:
    """But the blocks of both stay reserved."""
    found = world("tp8", GPT3, replace(TRAIN, sequence_length=2048, recompute="full", global_batch_size=1))
    plan, share = case(found), held(found)
    layer, loss = (float(part[0]) for part in passing(plan))
    assert (layer, loss) == pytest.approx((34 * 2048 * 12_288 / 8, 4 * 2048 * (12_288 + 50_264) / 8))
    assert reserved(plan, share)[0] == pytest.approx(1.05 * (allocated(plan, share)[0] + loss))


def test_hidden_states_that_are_pipelined_are_never_whole() -> None:
    plan = case(world("tp8", LLAMA_8B, replace(TRAIN, global_batch_size=1)))
    saved = in_training(plan) - in_training(replace(plan, pipelined_tp=True))
    assert saved[0] == 2 * 2 * 4096 * 4096


@pytest.mark.parametrize(
    ("degrees", "each"), [("tp1", 63_488), ("tp8", 2 * (3 * 4096 + 2 * 4096 + 1024 + 14_336) / 8 + 8192)]
)
def test_torchtitan_keeps_every_second_product(degrees: str, each: float) -> None:
    """Input, queries, values, output of attention, gate, and the last product: counted in a step of torch 2.13 with its policy."""
    found = world(degrees, LLAMA_8B, replace(TRAIN, recompute="selective", global_batch_size=1))
    assert stored_each(case(under(found, "torchtitan")))[0] == 32 * 4096 * each


def test_recomputation_saves_memory_in_order() -> None:
    none, selective, full = (
        parts("tp2_pp2_dp4", MIXTRAL, recompute=name)["activations_bytes"] for name in ("none", "selective", "full")
    )
    assert none > selective > full


@pytest.mark.parametrize(
    ("piece", "each"),
    [
        ("layernorm", 2 * 2 * 7168),
        ("mla_up_proj", 2 * (128 * (192 + 192 + 128) + 1536 + 512)),
        ("mlp", 3 / 61 * 2 * 3 * 18_432),
        ("moe_act", 58 / 61 * 2 * 8 * 2048),
        ("shared_experts", 58 / 61 * 2 * 3 * 2048),
        ("moe", 58 / 61 * 2 * (8 * (7168 + 3 * 2048) + 3 * 2048)),
    ],
)
def test_pieces_that_are_rebuilt_are_not_kept(piece: str, each: float) -> None:
    model = replace(DEEPSEEK_V3, num_nextn_predict_layers=0)
    plan = case(world("tp1", model, replace(TRAIN, global_batch_size=1)))
    again = replace(plan, rebuilt=(piece,))
    saved = stored_each(plan) - stored_each(again)
    assert saved[0] == pytest.approx(61 * 4096 * each, rel=1e-9)
    assert 0 < passing(again)[0][0] - passing(plan)[0][0] < saved[0] / 2  # one layer's, while it runs backward


def test_an_unfused_loss_keeps_the_logits_twice() -> None:
    plan = case(world("tp2", LLAMA_8B, replace(TRAIN, global_batch_size=1)))
    more = in_training(replace(plan, fused_loss=False)) - in_training(plan)
    assert more[0] == pytest.approx(2 * 4096 * (4096 + 128_256) / 2)


@pytest.mark.parametrize(
    ("name", "args", "fused"),
    [
        ("megatron", [], False),
        ("megatron", ["--cross-entropy-loss-fusion"], True),
        ("torchtitan", [], False),
        ("deepspeed", [], False),
        ("maxtext", [], True),
        ("none", [], True),
    ],
)
def test_the_loss_is_costed_as_it_is_launched(name: str, args: list[str], fused: bool) -> None:
    assert case(under(world("tp2", LLAMA_8B, TRAIN), name, *args)).fused_loss is fused


def test_expert_parallelism_does_not_divide_routed_activations() -> None:
    small, large = (parts(f"ep{ep}_etp1_adp8", MIXTRAL)["activations_bytes"] for ep in (2, 8))
    assert small == large
    assert parts("ep8_etp1_adp8", MIXTRAL, imbalance=1.5)["activations_bytes"] > large


@pytest.mark.parametrize(
    ("schedule", "vpp", "batches", "expected"),
    [
        ("1f1b", 1, 64, [4, 3, 2, 1]),
        ("1f1b", 1, 2, [2, 2, 2, 1]),
        ("interleaved", 2, 64, [5.5, 4.5, 3.5, 2.5]),
        ("1f1b", 2, 64, [5.5, 4.5, 3.5, 2.5]),
        ("zero_bubble", 1, 64, [4, 3, 2, 1]),
        ("dualpipe", 1, 64, [5, 5, 5, 5]),
    ],
)
def test_micro_batches_in_flight(schedule: str, vpp: int, batches: int, expected: list[float]) -> None:
    """Interleaved, first stage: p * (1 + (p-1)/(p*v)) = 5.5."""
    workload = replace(TRAIN, schedule=schedule, global_batch_size=batches)
    assert in_flight(case(world("pp4", LLAMA_8B, workload, vpp=vpp))).tolist() == expected


@pytest.mark.skipif(find_spec("megatron") is None, reason="megatron-core is not installed")
@pytest.mark.parametrize("overlapped", [False, True])
@pytest.mark.parametrize(
    ("pp", "vpp", "group", "batches"), [(4, 1, 4, 64), (4, 2, 4, 64), (4, 2, 6, 66), (8, 4, 8, 16), (2, 8, 2, 2)]
)
def test_chunks_in_flight_are_megatrons(pp: int, vpp: int, group: int, batches: int, overlapped: bool) -> None:
    """Those that Megatron-Core's own function warms up with, and the one that runs before the first goes back."""
    spec = find_spec("megatron")
    assert spec
    assert spec.submodule_search_locations
    source = Source("megatron", Path(next(iter(spec.submodule_search_locations))).parent)
    lifted = source.lift("core/pipeline_parallel/schedules.py", "get_pp_rank_microbatches")
    workload = replace(TRAIN, schedule="interleaved", global_batch_size=batches, overlapped_dispatch=overlapped)
    plan = replace(case(world(f"pp{pp}", MIXTRAL, workload, vpp=vpp)), group=array(group))
    for rank, stages in enumerate(in_flight(plan).tolist()):
        ranks = SimpleNamespace(size=lambda: pp, rank=lambda at=rank: at)
        sent = SimpleNamespace(pp_group=ranks, virtual_pipeline_model_parallel_size=vpp if vpp > 1 else None)
        early = overlapped and vpp > 1
        warm = lifted.get_pp_rank_microbatches(batches, vpp, group, False, early, sent)[2]
        assert stages * vpp == min(warm + 1, batches * vpp)
