"""Random plans against MaxText's own configuration and JAX's own mesh, of a wheel in the folder RANKPLAN_WHEELS."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from compiler import invariants
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.maxtext import described
from compiler.frameworks.maxtext.prove import _case as case
from compiler.frameworks.maxtext.prove import ask, findings, prove, unpacked
from compiler.layout.grid import GroupKind
from compiler.specs.config import Config
from compiler.world import World
from tests.configs import changed, composed
from tests.wheels import wheel

pytest.importorskip("jax", reason="jax is not installed")

HOST = (
    *("framework=maxtext", "workload=train", "workload.optimizer_offload=1", "workload.activation_offload=1"),
    "workload.fused_attention=false",
)
MODELS = ("mixtral_8x7b", "qwen3_30b_a3b", "llama3_1_8b", "deepseek_v3", "moe_30b")


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """The unpacked wheel; MaxText's configuration also needs pydantic and omegaconf."""
    pytest.importorskip("pydantic", reason="pydantic is not installed, and MaxText's configuration needs it")
    with unpacked(wheel("maxtext", "0.2.5")) as folder:
        assert folder is not None
        yield folder


def plans(count: int) -> Iterator[World]:
    """Random training plans that rankplan accepts."""
    dice = random.Random(7)
    while count:
        found = drawn(dice)
        if found is not None:
            count -= 1
            yield found


def drawn(dice: random.Random) -> World | None:
    model = dice.choice(MODELS)
    base = composed("framework=maxtext", "workload=train", f"model={model}")
    pp, vpp = dice.choice((1, 1, 2, 4)), dice.choice((1, 2))
    values: dict[str, Any] = {
        "model.num_hidden_layers": 12 if pp == 1 else pp * vpp * dice.choice((1, 3)),
        "model.first_k_dense_replace": 0 if pp > 1 else base.model.first_k_dense_replace,
        "model.gated_mlp": True,
        "model.layer_types": None,
        "parallel.tp": dice.choice((1, 2, 4)),
        "parallel.cp": dice.choice((1, 1, 2)),
        "parallel.pp": pp,
        "parallel.vpp": vpp if pp > 1 else 1,
        "parallel.ep": dice.choice((1, 2, 4, 8)) if base.model.moe else 1,
        "parallel.dp": dice.choice((1, 2, 3, 4)),
        "workload.zero_stage": dice.choice((0, 1, 3)),
        "workload.micro_batch_size": dice.choice((1, 2, 3)),
        "workload.precision": dice.choice(("bf16", "fp16", "fp32", "fp8")),
        "workload.recompute": dice.choice(("none", "selective", "full")),
        "workload.optimizer_offload": dice.choice((0.0, 0.0, 1.0)),
        "workload.activation_offload": dice.choice((0.0, 0.0, 1.0)),
        "workload.fused_attention": dice.random() < 0.8,
        "hardware.node.gpus": 1,
        **layers(dice),
    }
    config = changed(base, values)
    step = config.degrees.adp * config.workload.micro_batch_size * pp * dice.choice((1, 3))
    config = changed(config, {"workload.global_batch_size": step, "hardware.nodes": config.degrees.world_size})
    failed = {check.id for check in invariants.declared(config) if check.status == "fail"}
    return None if failed else lay_out(config)


def layers(dice: random.Random) -> dict[str, Any]:
    """What layers do beside their sizes."""
    sigmoid = dice.random() < 0.5
    return {
        "model.tie_word_embeddings": dice.random() < 0.3,
        "model.use_qk_norm": dice.random() < 0.3,
        "model.qkv_bias": dice.random() < 0.2,
        "model.mlp_bias": dice.random() < 0.2,
        "model.attention_sinks": dice.random() < 0.2,
        "model.rope_scaling.rope_type": dice.choice(("default", "linear", "llama3", "yarn")),
        "model.rope_scaling.factor": dice.choice((8.0, 32.0)),
        "model.scoring_func": "sigmoid" if sigmoid else "softmax",
        "model.use_routing_bias": dice.random() < 0.5,
        "model.norm_topk_prob": dice.random() < 0.7,
        "model.router_aux_loss_coef": dice.choice((0.0, 0.01)),
        "model.hidden_dropout": dice.choice((0.0, 0.0, 0.1)),
    }


def differences(world: World, found: Any, root: Path | None) -> list[str]:
    return [f"{item.what}: {item.planned} | {item.found}" for item in findings(world, found, root) if not item.equal]


def test_maxtext_builds_the_groups_of_random_plans(root: Path) -> None:
    worlds = list(plans(54))
    assert len({world.degrees.name for world in worlds}) > 40
    assert {world.config.model.name for world in worlds} == set(MODELS)
    for world, found in zip(worlds, ask(worlds, root), strict=True):
        assert differences(world, found, root) == [], world.config


def test_jax_alone_places_the_same_mesh() -> None:
    worlds = list(plans(60))
    for world, found in zip(worlds, ask(worlds, None), strict=True):
        assert differences(world, found, None) == [], world.config


REFUSED: dict[str, dict[str, Any]] = {
    "micro-batches": {"parallel.dp": None, "parallel.adp": 8, "parallel.ep": 2, "workload.global_batch_size": 24},
    "fp8-accumulation": {
        "workload.precision": "fp8",
        "workload.global_batch_size": 1024,
        "parallel.pp": 1,
        "parallel.dp": 16,
    },
}
SINGLE = ("strategy", "serving", "host", *REFUSED)


def single(name: str) -> Config:
    if name == "host":
        return composed(*HOST)
    if name == "serving":
        return composed("framework=maxtext")
    return changed(composed("framework=maxtext", "workload=train"), REFUSED.get(name, {}))


@pytest.fixture(scope="module")
def answers(root: Path) -> dict[str, Any]:
    """To each single plan, by one process."""
    return dict(zip(SINGLE, ask([lay_out(single(name)) for name in SINGLE], root), strict=True))


def test_the_strategy_is_proved_from_a_wheel(root: Path) -> None:
    world = lay_out(single("strategy"))
    found = list(prove(world, root))
    assert [item.what for item in found if not item.equal] == []
    kinds = {item.what.removeprefix("groups ") for item in found if item.what.startswith("groups ")}
    assert kinds == set(world.groups)


def test_serving_arguments_are_read_too(root: Path, answers: dict[str, Any]) -> None:
    assert differences(lay_out(single("serving")), answers["serving"], root) == []


@pytest.mark.parametrize("name", REFUSED)
def test_maxtext_refuses_what_is_refused(name: str, answers: dict[str, Any]) -> None:
    declared = invariants.declared(single(name))
    assert any(check.status == "fail" and check.id.startswith("maxtext-") for check in declared)
    assert "error" in answers[name]


def test_what_goes_to_the_host_is_compared(root: Path, answers: dict[str, Any]) -> None:
    world, answer = lay_out(single("host")), answers["host"]
    assert differences(world, answer, root) == []
    wrong = {"tensors_to_offload": ["context"], "optimizer_memory_host_offload": False, "attention": "flash"}
    found = findings(world, {**answer, "values": {**answer["values"], **wrong}}, root)
    different = ["resolved tensors_to_offload", "resolved optimizer_memory_host_offload", "resolved attention"]
    assert [item.what for item in found if not item.equal] == different


def test_another_order_of_axes_is_noticed(root: Path, answers: dict[str, Any]) -> None:
    world = lay_out(single("strategy"))
    broken = replace(world, kinds={**world.kinds, "tp": GroupKind(((4, 1),), ((256, 4),))})
    assert "groups tp" in [item.what for item in findings(broken, answers["strategy"], root) if not item.equal]


def test_what_is_no_wheel_says_what_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="pip download --no-deps maxtext"):
        list(prove(lay_out(composed("framework=maxtext", "workload=train")), tmp_path))


OWN_FILES = {
    "llama3_1_8b": "llama3.1-8b",
    "llama3_1_70b": "llama3.1-70b",
    "llama3_1_405b": "llama3.1-405b",
    "mixtral_8x7b": "mixtral-8x7b",
    "mixtral_8x22b": "mixtral-8x22b",
    "qwen3_30b_a3b": "qwen3-30b-a3b-base",
    "qwen3_235b_a22b": "qwen3-235b-a22b",
    "gpt_oss_120b": "gpt-oss-120b",
    "deepseek_v3": "deepseek3-671b",
    "kimi_k2": "kimi-k2-1t",
}
OTHERWISE = {
    "llama3_1_8b": ["rope_type"],  # MaxText reads it from the model's name
    "llama3_1_70b": ["rope_type"],
    "llama3_1_405b": ["rope_type"],
    "mixtral_8x22b": ["vocab_size"],  # of version 0.3
    "qwen3_235b_a22b": ["rope_max_timescale"],  # of the 2507 release
}
"""Keys in which a file of MaxText's own is not the model's config.json."""

NOT_OF_THE_FILE = {
    *("packing", "max_segments_per_seq", "attention", "megablox", "load_balance_loss_weight", "float32_gate_logits"),
    *("routed_bias_update_rate", "model_name", "override_model_config"),
}


SIZES = (
    *("num_decoder_layers", "emb_dim", "num_query_heads", "num_kv_heads", "num_experts", "num_experts_per_tok"),
    *("moe_mlp_dim", "mlp_dim", "vocab_size"),
)


def test_arguments_say_what_maxtexts_own_files_say(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[dict[str, Any]] = []
    for name, file in OWN_FILES.items():
        base = composed("framework=maxtext", "workload=train", f"model={name}", "parallel=adp1")
        one = {"hardware.nodes": 1, "hardware.node.gpus": 1, "workload.global_batch_size": 1}
        cases.append(case(lay_out(changed(base, one))))
        kept = [word for word in cases[-1]["arguments"] if word.startswith(("ici_", "dcn_", "hardware", "num_slices"))]
        cases.append({**cases[-1], "arguments": [*kept, f"model_name={file}"]})
    prepared = iter(cases)
    monkeypatch.setattr("compiler.frameworks.maxtext.prove._case", lambda _: next(prepared))
    answers = [answer["values"] for answer in asked(len(cases), root)]
    different = {
        name: sorted(key for key in {*SIZES, *known["described"]} - NOT_OF_THE_FILE if mine[key] != theirs[key])
        for name, mine, theirs, known in zip(OWN_FILES, answers[::2], answers[1::2], cases[::2], strict=True)
    }
    assert {name: keys for name, keys in different.items() if keys} == OTHERWISE


def asked(count: int, root: Path) -> list[Any]:
    return list(ask([lay_out(composed("framework=maxtext", "workload=train"))] * count, root))


@pytest.mark.parametrize(
    ("name", "file"), [("mixtral_8x7b", "mixtral_8x7b"), ("gpt_oss_120b", "gpt-oss-20b"), ("llama3_1_8b", "llama3_8b")]
)
def test_kernels_are_those_of_maxtexts_gpu_configurations(root: Path, name: str, file: str) -> None:
    theirs: Any = OmegaConf.load(root / "maxtext" / "configs" / "gpu" / "models" / f"{file}.yml")
    config = composed("framework=maxtext", "workload=train", f"model={name}", "parallel=adp1024")
    assert described.kernels(config) == {key: theirs[key] for key in described.kernels(config)}
    assert ("megablox" in described.kernels(config)) == config.model.moe
    cut = described.kernels(changed(config, {"parallel.cp": 2, "parallel.adp": 512}))
    assert (cut["packing"], "max_segments_per_seq" in cut) == (False, False)
