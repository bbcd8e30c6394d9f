"""Models with several kinds of layers, as engines cut them: what each refuses, by its own code, and that plans of the others compile."""

from __future__ import annotations

import pytest

from compiler import InvariantError, compile_plan
from compiler.blocks.stack import stack
from compiler.costs.case import case
from compiler.costs.work.activations import stored_each
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.lifted import Source
from compiler.plan import Plan
from tests.configs import changed, composed
from tests.wheels import wheel

ONE = ("hardware=h200", "hardware.nodes=1")
TRAIN = ("workload=train", "framework=megatron", *ONE, "workload.sequence_length=4096", "workload.global_batch_size=64")
SERVE = ("workload=serve", *ONE, "workload.sequence_lengths=[1024]", "workload.output_length=128")

WHEELS = {"vllm": ("vllm", "0.33.0"), "sglang": ("sglang", "0.5.23"), "megatron": ("megatron_core", "0.19.2")}

CITED = (
    ("vllm", "model_executor/layers/mamba/mamba_mixer2.py", "assert num_heads % self.tp_size == 0"),
    ("vllm", "model_executor/layers/mamba/mamba_mixer2.py", "assert (n_groups % self.tp_size) == 0 or n_groups == 1"),
    ("vllm", "model_executor/layers/mamba/mamba_utils.py", "divide(num_v_heads, tp_world_size)"),
    ("vllm", "model_executor/layers/mamba/gdn/kimi_gdn_linear_attn.py", "assert self.num_heads % self.tp_size == 0"),
    ("sglang", "srt/layers/attention/mamba/mamba.py", "assert num_heads % self.tp_size == 0"),
    (
        "sglang",
        "srt/layers/attention/mamba/mamba.py",
        "(n_groups % self.tp_size == 0) or self.tp_size == 1 or quant_config is None",
    ),
    ("sglang", "srt/models/kimi_linear.py", "if num_heads % tp_size != 0:"),
    ("megatron", "core/ssm/mamba_mixer.py", "assert self.nheads % tp_size == 0"),
    ("megatron", "core/ssm/mamba_mixer.py", "assert self.ngroups % tp_size == 0"),
    ("megatron", "core/transformer/transformer_config.py", "assert self.linear_num_key_heads % tp_cp_size == 0"),
)
"""Engine, file, and what it stops at: the rules behind state-heads, sglang-state-groups and megatron-state-heads."""


@pytest.mark.parametrize(("engine", "path", "text"), CITED)
def test_the_rules_are_in_the_engines_own_code(engine: str, path: str, text: str) -> None:
    package, release = WHEELS[engine]
    assert text in Source("megatron" if engine == "megatron" else engine, wheel(package, release)).text(path)


def served(model: str, engine: str, tp: int, *more: str) -> Plan:
    copies = (f"framework.instances={8 // tp}",) if tp < 8 else ()
    return compile_plan([*SERVE, f"framework={engine}", f"model={model}", f"parallel=tp{tp}", *copies, *more])


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("model", ["qwen3_next_80b_a3b", "nemotron_3_nano", "nemotron_3_super"])
def test_hybrids_are_served(model: str, engine: str) -> None:
    plan = served(model, engine, 8)
    assert plan.groups["tp"].shape == (1, 8)
    assert any(block.state for layer in stack(plan.config.model).layers for block in layer)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_heads_of_states_are_dealt_out(engine: str) -> None:
    blocks = "{linear_attention: {kind: mamba2, heads: 12, head_dim: 64, groups: 1, state_dim: 128}}"
    with pytest.raises(InvariantError, match="state-heads: heads, groups or channels of mamba2"):
        served("nemotron_3_nano", engine, 8, f"model.blocks={blocks}")


def test_one_group_of_quantised_weights_is_not_copied() -> None:
    """vLLM copies it, SGLang stops."""
    blocks = "{linear_attention: {kind: mamba2, heads: 64, head_dim: 64, groups: 1, state_dim: 128}}"
    changes = (f"model.blocks={blocks}", "model.declared.params=null", "workload.precision=fp8")
    assert served("nemotron_3_nano", "vllm", 8, *changes).config.degrees.tp == 8
    with pytest.raises(InvariantError, match=r"sglang-state-groups: SGLang 0\.5\.23 layers/attention/mamba/mamba\.py"):
        served("nemotron_3_nano", "sglang", 8, *changes)


@pytest.mark.parametrize(
    ("model", "degrees"),
    [("qwen3_next_80b_a3b", "ep8_tp2_adp16_etp1"), ("nemotron_3_nano", "ep8_tp2_adp16_etp1")],
)
def test_hybrids_are_trained(model: str, degrees: str) -> None:
    plan = compile_plan([*TRAIN, f"model={model}", f"parallel={degrees}", "hardware.nodes=4"])
    assert plan.groups["tp"].shape == (16, 2)


def test_heads_of_states_are_cut_over_context_too() -> None:
    found = [*TRAIN, "model=qwen3_next_80b_a3b", "parallel=ep8_tp4_cp8_etp1", "hardware.nodes=8"]
    with pytest.raises(
        InvariantError, match=r"megatron-state-heads: Megatron-Core 0\.19\.2 core transformer_config\.py cuts 16"
    ):
        compile_plan(found)


LETTERS = {"M": ("linear_attention", "none"), "*": ("full_attention", "none"), "E": ("none", "sparse")}


def kept_of(pattern: str) -> list[float]:
    """Bytes that each of two stages keeps of a micro-batch where a small Nemotron has such layers."""
    mixers, feeds = zip(*(LETTERS[letter] for letter in pattern), strict=True)
    base = composed(*TRAIN, "model=nemotron_3_nano", "parallel=pp2_dp4", "workload.recompute=none")
    layers = {"num_hidden_layers": len(pattern), "layer_types": list(mixers), "mlp_layer_types": list(feeds)}
    return [
        float(part)
        for part in stored_each(case(lay_out(changed(base, {f"model.{key}": value for key, value in layers.items()}))))
    ]


def test_activations_are_those_of_a_stage_s_own_blocks() -> None:
    """Mamba-2: what its norm reads and puts out, and what its product, its scan and its inner norm put out."""
    alike, other = kept_of("MEMEMEME"), kept_of("MEMEME*E")
    assert alike[0] == alike[1] == other[0]
    hidden, tokens = 2688, 4096
    mamba = 2 * hidden + 4 * 64 * 64 + 2 * 8 * 128 + 64
    attention = 2 * hidden + 2 * 32 * 128 + 2 * 2 * 128 + 2 * 32  # and statistics of four bytes a head
    assert alike[1] - other[1] == 2 * tokens * (mamba - attention)


def test_experts_that_work_in_a_latent_keep_it_alone() -> None:
    """Nemotron 3 Super: tokens go to experts as wide as the latent, and the products around them keep one copy each."""
    base = composed(*TRAIN, "model=nemotron_3_super", "parallel=ep8_etp1_adp8", "workload.recompute=none")
    model, tokens = base.model, 4096
    assert (model.moe_latent_size, model.hidden_size) == (1024, 4096)
    wide = changed(base, {"model.moe_latent_size": None})
    found = [float(stored_each(case(lay_out(config)))[0]) for config in (base, wide)]
    layers = sum(model.moe_layers) + model.num_nextn_predict_layers
    copies = model.num_experts_per_tok * base.workload.imbalance * (model.hidden_size - 1024) - 1024
    assert found[1] - found[0] == pytest.approx(2 * tokens * layers * copies)
