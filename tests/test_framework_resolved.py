"""What the trainers' own parsers and configurations make of plans: every value that a plan rests on, and any other is found."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from compiler import invariants
from compiler.frameworks.emission import Emission
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.megatron.installed import megatron
from compiler.frameworks.proof import Finding
from compiler.specs.config import Config
from compiler.world import World
from tests import megatron_plans
from tests.configs import changed, composed
from tests.wheels import wheel

DENSE, MIXTRAL = ("model=llama3_1_8b",), ("model=mixtral_8x7b",)
ON_TWO = ("workload=train", "hardware=h100_80gb", "hardware.nodes=2", "workload.global_batch_size=64")
PLANS = {
    "megatron": [
        (*DENSE, "parallel=tp4_adp4"),
        (*DENSE, "parallel=tp2_pp2_vpp2_adp4", "workload.schedule=interleaved"),
        (*DENSE, "parallel=tp2_cp2_adp4", "workload.recompute=full"),
        (*DENSE, "parallel=tp4_pp4_adp1", "workload.recompute=selective", "workload.recompute_modules=[mlp,core_attn]"),
        (*DENSE, "parallel=tp2_adp8", "workload.precision=fp16"),
        (*DENSE, "parallel=tp2_adp8", "workload.precision=fp8", "workload.states.gradients=bf16"),
        (*DENSE, "parallel=adp16", "workload.states.exp_avg=fp8", "workload.states.exp_avg_sq=fp8"),
        (*DENSE, "parallel=tp8_adp2", "workload.zero_stage=3"),
        (*MIXTRAL, "parallel=tp2_adp8_ep8_etp1"),
        (*MIXTRAL, "parallel=tp2_pp2_adp4_ep4_etp1", "workload.dispatch=deduplicated", "workload.precision=mxfp8"),
    ],
    "torchtitan": [
        (*DENSE, "parallel=tp4_adp4"),
        (*DENSE, "parallel=tp2_pp2_adp4", "workload.recompute=full"),
        (*DENSE, "parallel=tp2_pp2_vpp2_adp4", "workload.schedule=interleaved"),
        (*DENSE, "parallel=cp2_adp8", "workload.recompute=selective"),
        (*DENSE, "parallel=adp16", "workload.zero_stage=2"),
        (*DENSE, "parallel=adp16", "workload.zero_stage=3", "workload.optimizer_offload=1"),
        (*MIXTRAL, "parallel=adp16_ep8_etp1"),
        (*MIXTRAL, "parallel=tp2_adp8_ep4_etp1"),
    ],
    "deepspeed": [
        (*DENSE, "parallel=adp16"),
        (*DENSE, "parallel=adp16", "workload.zero_stage=2"),
        (*DENSE, "parallel=adp16", "workload.zero_stage=3", "workload.optimizer_offload=0.5"),
        (*DENSE, "parallel=adp16", "workload.distributed_optimizer=false"),
        (*DENSE, "parallel=adp16", "workload.precision=fp16", "workload.micro_batch_size=2"),
        (*DENSE, "parallel=adp16", "workload.states.gradients=bf16"),
        (*DENSE, "parallel=tp2_pp2_adp4", "workload.sequence_parallel=false"),
        (*MIXTRAL, "parallel=adp16_ep8_etp1"),
    ],
    "maxtext": [
        (*DENSE, "parallel=tp4_adp4"),
        (*DENSE, "parallel=tp2_adp8", "workload.recompute=full"),
        (*DENSE, "parallel=tp2_pp2_adp4", "workload.recompute=selective"),
        (*DENSE, "parallel=adp16", "workload.zero_stage=3"),
        (*DENSE, "parallel=adp16", "workload.states.gradients=bf16", "workload.states.exp_avg=bf16"),
        (*DENSE, "parallel=cp2_adp8", "workload.micro_batch_size=2"),
        (*MIXTRAL, "parallel=adp16_ep8_etp1"),
        (*MIXTRAL, "parallel=adp16_ep4_etp1"),
    ],
}
TAMPERED = {
    "megatron": [
        ("--seq-length", "1024", "sequence length"),
        ("--global-batch-size", "128", "micro-batches"),
        ("--bf16", "--fp16", "precision"),
    ],
    "torchtitan": [
        ("--training.seq_len=", "--training.seq_len=7", "sequence length"),
        ("--training.mixed_precision_param=", "--training.mixed_precision_param=float32", "precision"),
        ("activation_checkpoint:", "activation_checkpoint:full", "recompute"),
    ],
    "maxtext": [
        ("dtype=", "dtype=float32", "dtype"),
        ("remat_policy=", "remat_policy=full", "remat_policy"),
        ("grad_dtype=", "grad_dtype=bfloat16", "grad_dtype"),
    ],
}
"""The beginning of an argument, what stands in its place (or is its value), and the value that is another then."""

UNKNOWN = [
    ("megatron", "--moe-token-dispatcher-typ=flex"),
    ("megatron", "--recompute-granularty=full"),
    ("torchtitan", "--parallelism.tensor_parallel_degre=4"),
    ("torchtitan", "--training.seq_length=7"),
    ("maxtext", "remat_polici=full"),
    ("maxtext", "grad_dtypes=bfloat16"),
    ("vllm", "--enable-expert-paralel"),
    ("vllm", "--kv-cache-dtypes=fp8"),
    ("sglang", "--attention-backends=fa3"),
    ("sglang", "--chunked-prefil-size=4096"),
]


def config(framework: str, overrides: tuple[str, ...]) -> Config:
    return composed(*ON_TWO, f"framework={framework}", *overrides)


@contextmanager
def own(framework: str) -> Iterator[Callable[[Sequence[World]], list[list[Finding]]]]:
    """The framework's oracle, of several plans at once; the test is skipped where it is not here."""
    oracle = importlib.import_module(f"compiler.frameworks.{framework}.prove")
    if framework == "megatron":
        with megatron(megatron_plans.wheel(megatron_plans.NEWEST)):
            yield lambda worlds: [list(oracle.findings(world)) for world in worlds]
    elif framework == "maxtext":
        pytest.importorskip("jax")
        with oracle.unpacked(wheel("maxtext", "0.2.5")) as root:
            yield lambda worlds: [
                list(oracle.findings(world, answer, root))
                for world, answer in zip(worlds, oracle.ask(worlds, root), strict=True)
            ]
    else:
        for package in {"deepspeed": ("torch", "deepspeed"), "torchtitan": ("torch", "tyro")}[framework]:
            pytest.importorskip(package)
        source = wheel(framework, "0.3.0") if framework == "torchtitan" else None
        yield lambda worlds: [list(oracle.prove(world, source)) for world in worlds]


@pytest.mark.parametrize("framework", PLANS)
def test_what_is_resolved_is_what_is_planned(framework: str) -> None:
    with own(framework) as findings:
        worlds = [lay_out(config(framework, overrides)) for overrides in PLANS[framework]]
        for overrides, found in zip(PLANS[framework], findings(worlds), strict=True):
            assert [item for item in found if not item.equal] == [], overrides
            assert sum(item.what.startswith("resolved ") for item in found) >= 6


@pytest.mark.parametrize("framework", TAMPERED)
def test_another_value_is_found(framework: str) -> None:
    world = lay_out(config(framework, PLANS[framework][0]))
    module = importlib.import_module(f"compiler.frameworks.{framework}.emit")
    with own(framework) as findings:
        for old, new, what in TAMPERED[framework]:
            made = _tampered(module.emission(world), old, new)
            with _emitted(framework, made):
                (found,) = findings([world])
                assert f"resolved {what}" in [item.what for item in found if not item.equal], what


def _tampered(made: Emission, old: str, new: str) -> Emission:
    """With an argument, or the word behind it, exchanged; at the end where there is none such."""
    words = [str(word) for word in made.arguments]
    at = next((i for i, word in enumerate(words) if word.startswith(old)), None)
    if at is None:
        words.append(new)
    elif new[0].isdigit():
        words[at + 1] = new
    else:
        words[at] = new
    return replace(made, arguments=tuple(words))


@contextmanager
def _emitted(framework: str, made: Emission) -> Iterator[None]:
    """What the oracle is shown as emitted."""
    if framework == "megatron":
        adapter = importlib.import_module("compiler.frameworks.megatron").ADAPTER
        with mock.patch.object(type(adapter), "emission", return_value=made):
            yield
    else:
        name = {"torchtitan": "tables", "maxtext": "prove"}[framework]
        with mock.patch(f"compiler.frameworks.{framework}.{name}.emission", return_value=made):
            yield


def test_another_type_of_gradients_is_found_in_deepspeeds_file() -> None:
    """Without a word of them it adds them up as wide as weights, which the plan does not."""
    from compiler.frameworks.deepspeed import emit

    world = lay_out(config("deepspeed", PLANS["deepspeed"][0]))
    made: dict[str, Any] = emit.ds_config(world.config)
    assert made.pop("data_types") == {"grad_accum_dtype": "fp32"}
    with own("deepspeed") as findings, mock.patch.object(emit, "ds_config", return_value=made):
        (found,) = findings([world])
        assert [item.what for item in found if not item.equal] == ["resolved gradients"]


def test_deepspeeds_gradients_are_as_wide_as_weights_without_zero() -> None:
    plain = config("deepspeed", (*DENSE, "parallel=adp16", "workload.distributed_optimizer=false"))
    assert plain.workload.states.gradients == "bf16"


@pytest.mark.parametrize(("framework", "option"), UNKNOWN)
def test_an_unknown_argument_is_caught(framework: str, option: str) -> None:
    kind = () if framework in ("vllm", "sglang") else ON_TWO
    base = composed(*kind, f"framework={framework}", *DENSE, "parallel=tp8_adp2" if kind else "parallel=tp8")
    found = [
        item
        for item in invariants.declared(changed(base, {"framework.args": [option]}))
        if item.id == "framework-arguments"
    ]
    assert [item.status for item in found] == ["fail"]
    assert option.split("=", maxsplit=1)[0] in found[0].message


def test_gradients_of_fp32_weights_are_never_narrower_under_megatron() -> None:
    narrow = config(
        "megatron", (*DENSE, "parallel=tp4_adp4", "workload.precision=fp32", "workload.states.gradients=bf16")
    )
    (found,) = [item for item in invariants.declared(narrow) if item.id == "megatron-gradients"]
    assert (found.status, found.fix) == (
        "fail",
        "leave workload.states.gradients out, or write workload.precision=bf16",
    )
    assert "reduces gradients of FP32 weights in FP32, whatever --grad-reduce-in-bf16 says" in found.message
