"""Arguments that say what keys say: what is costed is what is launched, whichever of the two a user writes."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.config.load import load_config
from compiler.errors import ConfigError
from compiler.passes import compile_config
from tests.megatron_configs import words

MEGATRON: tuple[str, ...] = (
    *("framework=megatron", "workload=train", "scheduler=[]", "model=deepseek_v3", "hardware=gb300_nvl72"),
    *("hardware.nodes=64", "parallel=pp2_vpp8_ep32_etp1_adp128", "workload.schedule=interleaved"),
    *("parallel.stages=[4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,1]", "workload.global_batch_size=4096"),
)
FP8 = (*MEGATRON, "workload.precision=fp8")
DENSE: tuple[str, ...] = (
    *("workload=train", "scheduler=[]", "model=llama3_1_8b", "hardware=h100_80gb", "parallel=adp8"),
    *("hardware.nodes=1", "workload.global_batch_size=64"),
)


def args(words_: str) -> str:
    """An override with these arguments, which commas part."""
    return "framework.args=[" + ",".join(f'"{word}"' for word in words_.split(",")) + "]"


READ = [
    # what is common to both, the arguments, the keys that say the same
    (MEGATRON, "--grad-reduce-in-bf16", "states.gradients=bf16"),
    (MEGATRON, "--main-grads-dtype,bf16", "states.gradients=bf16"),
    (MEGATRON, "--exp-avg-dtype,bf16,--exp-avg-sq-dtype,fp8", "states.exp_avg=bf16 states.exp_avg_sq=fp8"),
    (MEGATRON, "--main-params-dtype,fp16", "states.masters=fp16"),
    (MEGATRON, "--optimizer,muon", "optimizer=muon"),
    (MEGATRON, "--optimizer,muon,--muon-num-ns-steps,6", "optimizer=muon muon_steps=6"),
    (MEGATRON, "--moe-shared-expert-overlap", "overlapped_shared_experts=true"),
    (
        MEGATRON,
        "--overlap-moe-expert-parallel-comm,--delay-wgrad-compute",
        "overlapped_dispatch=true delayed_weight_gradients=true",
    ),
    (MEGATRON, "--optimizer-cpu-offload,--optimizer-offload-fraction,0.5", "optimizer_offload=0.5"),
    (MEGATRON, "--optimizer-cpu-offload", "optimizer_offload=1"),
    (MEGATRON, "--moe-token-dispatcher-type,flex", "dispatch=deduplicated"),
    (MEGATRON, "--cuda-graph-impl,transformer_engine,--cuda-graph-scope,attn,moe_router", "cuda_graphs=layer"),
    (MEGATRON, "--cuda-graph-scope,full_iteration,--cuda-graph-impl,local", "cuda_graphs=step"),
    (MEGATRON, "--external-cuda-graph", "cuda_graphs=layer"),
    (MEGATRON, "--moe-enable-deepep", "dispatch=deduplicated"),
    (MEGATRON, "--attention-backend,unfused", "fused_attention=false"),
    (MEGATRON, "--no-gradient-accumulation-fusion", "fused_accumulation=false"),
    ((*MEGATRON, "workload.recompute=selective"), "--recompute-modules,mlp,moe", "recompute_modules=[mlp,moe]"),
    (MEGATRON, "--recompute-granularity,full", "recompute=full"),
    (MEGATRON, "--recompute-granularity,full,--recompute-method,uniform,--recompute-num-layers,1", "recompute=full"),
    (MEGATRON, "--recompute-granularity,selective", "recompute=selective"),
    (FP8, "--fp8-param-gather", "states.weights=fp8"),
    (FP8, "--fp8-recipe,mxfp8", "precision=mxfp8"),
    ((*FP8, "workload.precision=mxfp8"), "--first-last-layers-bf16", "wide_layers=[1,1]"),
    (
        (*FP8, "workload.precision=mxfp8"),
        "--num-layers-at-end-in-bf16,2,--first-last-layers-bf16",
        "wide_layers=[1,2]",
    ),
    ((*DENSE, "framework=torchtitan"), "activation_checkpoint:full", "recompute=full"),
    ((*DENSE, "framework=maxtext"), "mu_dtype=bfloat16,grad_dtype=bfloat16", "states.exp_avg=bf16 states.gradients=bf16"),
    ((*DENSE, "framework=deepspeed"), "--json.data_types.grad_accum_dtype=bf16", "states.gradients=bf16"),
]  # fmt: skip


@pytest.mark.parametrize(("common", "arguments", "keys"), READ, ids=[item[1] for item in READ])
def test_an_argument_costs_what_its_key_does(common: tuple[str, ...], arguments: str, keys: str) -> None:
    usual = load_config(common).workload
    said = load_config([*common, args(arguments)]).workload
    assert said == load_config([*common, *(f"workload.{key}" for key in keys.split())]).workload
    assert said != usual


@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        ("--grad-reduce-in-bf16", {}),
        ("--main-grads-dtype,bf16", {"--grad-reduce-in-bf16": ()}),
        ("--optimizer,muon", {}),
        (
            "--exp-avg-dtype,bf16,--grad-reduce-in-bf16",
            {
                "--use-precision-aware-optimizer": (),
                "--main-grads-dtype": ("bf16",),
                "--main-params-dtype": ("fp32",),
                "--exp-avg-sq-dtype": ("fp32",),
            },
        ),
        ("--recompute-modules,mlp,moe", {}),
    ],
)
def test_what_an_argument_says_is_not_said_again(arguments: str, added: dict[str, tuple[str, ...]]) -> None:
    common = (*MEGATRON, "workload.recompute=selective")
    usual, found = words(load_config(common)), words(load_config([*common, args(arguments)]))
    given = {word for word in arguments.split(",") if word.startswith("--")}
    assert {flag: found[flag] for flag in set(found) - set(usual) - given} == added
    assert given <= set(found)


@pytest.mark.parametrize("form", ["hybrid", "e4m3"])
def test_a_format_of_fp8_is_said_once_as_the_user_does(form: str) -> None:
    assert words(load_config([*FP8, args(f"--fp8-format,{form},--fp8-recipe,blockwise")]))["--fp8-format"] == (form,)


def test_a_format_of_fp8_beside_bf16_is_no_plan_in_fp8() -> None:
    with pytest.raises(ConfigError, match=r"--fp8-format hybrid, and workload\.precision=bf16"):
        load_config([*MEGATRON, args("--fp8-format,hybrid")])


def test_keys_alone_are_launched() -> None:
    keys = ("states.weights=fp8", "states.gradients=bf16", "states.exp_avg=fp8", "recompute_modules=[mla_up_proj]")
    found = words(load_config([*FP8, "workload.recompute=selective", *(f"workload.{key}" for key in keys)]))
    assert found["--recompute-modules"] == ("mla_up_proj",)
    assert found["--exp-avg-dtype"] == ("fp8",)
    assert {"--fp8-param-gather", "--grad-reduce-in-bf16", "--use-precision-aware-optimizer", "--moe-grouped-gemm"} <= set(found)  # fmt: skip


@pytest.mark.parametrize(
    ("key", "argument", "message"),
    [
        ("states.exp_avg=fp8", "--exp-avg-dtype,bf16", "sets --exp-avg-dtype bf16, and workload.states.exp_avg=fp8 ; leave --exp-avg-dtype out, or write workload.states.exp_avg=bf16"),
        ("recompute_modules=[moe]", "--recompute-modules,mlp", r"sets --recompute-modules mlp, and workload.recompute_modules=\[moe\] ; .*write workload.recompute_modules=\[mlp\]"),
        ("dispatch=capacity", "--moe-token-dispatcher-type,flex", "and workload.dispatch=capacity"),
    ],
)  # fmt: skip
def test_a_key_and_an_argument_that_differ(key: str, argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config([*MEGATRON, f"workload.{key}", args(argument)])


def test_a_module_that_no_layer_has() -> None:
    with pytest.raises(
        ConfigError, match=r"workload.recompute_modules\[0\]=mpl is not a known value ; did you mean mlp"
    ):
        load_config([*MEGATRON, "workload.recompute=selective", args("--recompute-modules,mpl")])


@pytest.mark.parametrize("argument", ["--fp8-param-gather", "--exp-avg-dtype,fp64", "--optimizer,lion", "--optimizer-cpu-offload,--optimizer-offload-fraction,x"])  # fmt: skip
def test_what_no_key_says_is_left_to_the_framework(argument: str) -> None:
    """FP8 weights of a plan in BF16, which Megatron passes over; values that it refuses itself."""
    assert load_config([*MEGATRON, args(argument)]).workload == load_config(MEGATRON).workload


UNTOLD: list[tuple[str, str]] = [
    ("torchtitan", "states.gradients=bf16"),
    ("deepspeed", "states.exp_avg=bf16"),
    ("maxtext", "states.masters=fp16"),
    ("maxtext", "recompute_modules=[mlp]"),
]


@pytest.mark.parametrize(("framework", "key"), UNTOLD)
def test_what_a_framework_cannot_be_told_is_refused(framework: str, key: str) -> None:
    common = (*DENSE, f"framework={framework}", "workload.recompute=selective")
    assert not _said(common, "framework-untold")
    assert [f"workload.{key}: {framework} has no argument for it"] == _said(
        (*common, f"workload.{key}"), "framework-untold"
    )


@pytest.mark.parametrize(
    ("graphs", "expected"),
    [("layer", {"--cuda-graph-impl": ("transformer_engine",), "--cuda-graph-scope": ("attn", "moe_router")}),
     ("step", {"--cuda-graph-impl": ("full_iteration",), "--no-check-for-nan-in-loss-and-grad": ()})],
)  # fmt: skip
def test_graphs_are_launched(graphs: str, expected: dict[str, tuple[str, ...]]) -> None:
    usual, found = words(load_config(MEGATRON)), words(load_config([*MEGATRON, f"workload.cuda_graphs={graphs}"]))
    assert {flag: found[flag] for flag in set(found) - set(usual)} == expected


def test_what_costs_do_not_follow_is_said() -> None:
    found = _said((*MEGATRON, "framework.args=[--tp-comm-overlap,--moe-router-fusion]"), "framework-uncosted")
    assert len(found) == 1
    assert "--tp-comm-overlap (work that runs beside other work)" in found[0]
    assert "--moe-router-fusion (fewer kernels" in found[0]
    assert not _said((*MEGATRON, "framework.args=[--qk-layernorm]"), "framework-uncosted")


def test_of_an_option_that_costs_follow_other_values_are_said() -> None:
    (found,) = _said((*MEGATRON, "framework.args=[--optimizer,lion,--muon-tp-mode,blockwise]"), "framework-uncosted")
    assert "--optimizer lion (what the optimizer keeps)" in found
    assert "--muon-tp-mode" not in found


def _said(overrides: tuple[str, ...], rule: str) -> list[str]:
    """Messages of a rule that a plan breaks."""
    from compiler import invariants

    found: Any = invariants.declared(load_config(overrides))
    return [check.message for check in found if check.id == rule and check.status != "pass"]


def test_a_plan_says_both_again_in_its_own_configuration() -> None:
    arguments = "framework.args=[--exp-avg-dtype,bf16,--grad-reduce-in-bf16]"
    plan = compile_config(load_config([*MEGATRON, arguments]))
    assert plan.config.workload.states.exp_avg == "bf16"
    assert plan.config.framework.args == ["--exp-avg-dtype", "bf16", "--grad-reduce-in-bf16"]
