"""What Megatron is told of layers that are no attention with an MLP, and what it says of them itself."""

from __future__ import annotations

import pytest

from compiler import ConfigError, compile_plan
from compiler.blocks.stack import stack
from compiler.frameworks.lifted import Source
from compiler.frameworks.megatron import hybrid
from compiler.frameworks.megatron.model import options
from tests.configs import composed
from tests.wheels import wheel

TRAIN = ("framework=megatron", "workload=train", "workload.sequence_length=4096")
SMALL = (
    "model=llama3_1_8b",
    "model.declared.params=null",
    "model.hidden_size=1024",
    "model.num_attention_heads=16",
    "model.num_key_value_heads=16",
)
PATTERN = "M-M-M-M*-M-"


def flags(*overrides: str) -> dict[str, tuple[str, ...]]:
    return {flag: tuple(values) for flag, *values in options(composed(*TRAIN, *overrides))}


def test_single_blocks_are_a_pattern() -> None:
    found = flags("model=nemotron_3_nano", "parallel=ep8_tp2_dp64")
    pattern = found["--hybrid-layer-pattern"][0]
    assert (len(pattern), pattern[:7], set(pattern)) == (52, "MEMEM*E", {"M", "E", "*"})
    assert [found[f"--mamba-{name}"] for name in ("state-dim", "head-dim", "num-groups", "num-heads")] == [
        ("128",),
        ("64",),
        ("8",),
        ("64",),
    ]
    assert found["--num-layers"] == ("52",)


def test_gated_delta_and_indexers_are_variants_of_attention() -> None:
    delta = flags("model=qwen3_next_80b_a3b", "parallel=ep8_tp2_dp64")
    assert delta["--experimental-attention-variant"] == ("gated_delta_net",)
    assert delta["--linear-attention-freq"][0].startswith("[1,1,1,0,")
    assert (delta["--linear-num-value-heads"], delta["--attention-output-gate"]) == (("32",), ())
    assert flags("model=deepseek_v3_2", "parallel=ep64_dp16")["--dsa-indexer-topk"] == ("2048",)


def test_the_letters_are_megatron_s_own() -> None:
    text = Source("megatron", wheel("megatron_core", "0.19.2")).text("core/models/hybrid/hybrid_layer_allocation.py")
    for letter in hybrid.LETTERS.values():
        assert f"= '{letter}'" in text or f'= "{letter}"' in text


def test_a_pattern_among_the_arguments_is_the_model() -> None:
    plan = compile_plan(
        [
            *TRAIN,
            *SMALL,
            "hardware=h100_80gb",
            "hardware.nodes=1",
            "parallel=tp2_adp4",
            "workload.global_batch_size=32",
            f"framework.args=[--hybrid-layer-pattern,{PATTERN}]",
        ]
    )
    model = plan.config.model
    kinds = [layer[0].kind for layer in stack(model).layers]
    assert "".join(hybrid.LETTERS[kind] for kind in kinds) == PATTERN
    assert model.blocks["mamba"] == {"kind": "mamba2", "heads": 32, "head_dim": 64, "groups": 8, "state_dim": 128}


@pytest.mark.parametrize("pattern", ["MXM", "G*"])
def test_a_letter_that_the_plan_does_not_know_is_told(pattern: str) -> None:
    with pytest.raises(
        ConfigError,
        match=f"framework.args sets --hybrid-layer-pattern {pattern.replace('*', '.')}, of which the plan knows M . . - E",
    ):
        compile_plan([*TRAIN, *SMALL, "parallel=tp2_adp4", f"framework.args=[--hybrid-layer-pattern,'{pattern}']"])


def test_other_kinds_are_told_as_lost() -> None:
    found = {key: value for key, value, _ in hybrid.lost(composed(*TRAIN, "model=deepseek_v4_flash").model)}
    assert found["blocks"] == "compressed"
    assert {"blocks.sparse.extra", "other_params.streams"} <= {*found}
