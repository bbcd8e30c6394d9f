"""Random training plans for Megatron, its wheels, and what it says of a plan."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import pytest

from compiler import invariants
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.megatron import placed, recorded
from compiler.frameworks.megatron.installed import megatron, module
from compiler.frameworks.megatron.recorded import Refused
from compiler.specs.config import Config
from compiler.specs.workload import DISPATCHES, MODULES
from tests.configs import changed
from tests.megatron_configs import TRAIN

NEWEST = "megatron_core-0.19.2-cp312-cp312-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl"
OLDEST = "megatron_core-0.16.1-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl"


def wheel(name: str) -> Path:
    """A wheel in the folder that RANKPLAN_WHEELS names; the test is skipped without it, or without torch and triton."""
    for package in ("torch", "triton", "einops"):
        pytest.importorskip(package)
    path = Path(os.environ.get("RANKPLAN_WHEELS", "")) / name
    if not path.is_file():
        pytest.skip(f"RANKPLAN_WHEELS holds no {name}")
    return path


@contextlib.contextmanager
def newest_megatron() -> Iterator[None]:
    """Megatron 0.19.2, imported once; its parser, which takes longest to build, is built once."""
    with megatron(wheel(NEWEST)):
        arguments = module("megatron.training.arguments")
        parser = arguments.add_megatron_arguments(arguments.argparse.ArgumentParser(allow_abbrev=False))
        with mock.patch.object(arguments, "add_megatron_arguments", return_value=parser):
            yield


def plans(count: int, seed: int, **common: Any) -> Iterator[Config]:
    """`count` different plans that no rule refuses; `common` are keys that all have, `.` written `__`."""
    random, keys = Random(seed), {key.replace("__", "."): value for key, value in common.items()}
    found = 0
    while found < count:
        config = changed(TRAIN, {**drawn(random), **keys})
        if next(_refusals(config), None) is None:
            found += 1
            yield config


def refusals(config: Config) -> list[str]:
    """Ids of the rules that refuse a plan; memory, which no framework asks for, is left out."""
    return list(_refusals(config))


def _refusals(config: Config) -> Iterator[str]:
    """One after the other: most draws are refused by one of the first."""
    blocked = False
    for check in invariants.declared(config):
        if check.status == "fail":
            blocked = blocked or check.id in invariants.BLOCKING
            yield check.id
    if not blocked:
        yield from (check.id for check in invariants.laid_out(lay_out(config)) if check.status == "fail")


def drawn(random: Random) -> dict[str, Any]:
    """One draw: degrees that multiply, a small model that they mostly divide, and options that shape groups."""
    tp, cp, pp = random.choice((1, 2, 3, 4, 8)), random.choice((1, 1, 2, 4, 8)), random.choice((1, 2, 3, 4))
    adp, moe = random.choice((1, 2, 3, 4, 6, 8)), random.random() < 0.75
    stage = tp * cp * adp
    etp = random.choice([size for size in (1, 2, tp, tp * cp) if stage % size == 0])
    ep = random.choice([size for size in range(1, 17) if stage // etp % size == 0])
    vpp = random.choice((1, 1, 1, 2, 3)) if pp > 1 else 1
    counts = _stages(random, pp, vpp)
    heads = tp * random.choice((4, 6))
    even = len(set(counts)) == 1
    return {
        **_group_options(random, adp, cp, stage // (etp * ep) if moe else adp),
        "hardware.nodes": stage * pp,
        "hardware.node.gpus": 1,
        "parallel.tp": tp,
        "parallel.cp": cp,
        "parallel.pp": pp,
        "parallel.vpp": vpp,
        "parallel.ep": ep if moe else 1,
        "parallel.etp": etp if moe else None,
        "parallel.dp": None,
        "parallel.adp": adp,
        "workload.dispatch": random.choice(DISPATCHES),
        "workload.overlapped_dispatch": random.random() < 0.3,
        "parallel.order": random.choice(("tp-cp-ep-dp-pp", "tp-cp-ep-dp-pp", "tp-cp-ep-pp-dp", "tp-ep-cp-dp-pp")),
        "parallel.stages": None if even else counts,
        "workload.global_batch_size": adp * pp * random.choice((1, 2, 3)),
        "workload.sequence_length": 2 * cp * tp * 64,
        "workload.recompute": random.choice(("none", "selective", "full")),
        "workload.precision": random.choice(("bf16", "fp16", "fp32", "fp8", "mxfp8", "fp4")),
        **_states(random),
        "workload.zero_stage": random.choice((0, 0, 0, 1, 2, 3)),
        "workload.optimizer_offload": random.choice((0.0, 0.0, 0.25, 1.0)),
        "workload.activation_offload": random.choice((0.0, 0.0, 0.0, 0.5)),
        "workload.fused_attention": random.random() < 0.8,
        **_model(random, sum(counts), heads, ep * random.choice((1, 2, 4)) if moe else 0),
    }


def _states(random: Random) -> dict[str, Any]:
    """What is kept of a weight, and what runs again of a layer, mostly as usual."""
    usual = random.random() < 0.5
    modules = () if usual else random.sample(MODULES, random.randint(0, 3))
    return {
        "workload.recompute_modules": list(modules),
        "workload.optimizer": "adam" if usual else random.choice(("adam", "muon", "sgd")),
        "workload.wide_layers": [] if usual else random.choice(([], [1, 1], [0, 2])),
        "workload.states.weights": None if usual else random.choice((None, "fp8", "fp4")),
        "workload.states.gradients": random.choice(("fp32", "bf16")),
        "workload.states.exp_avg": "fp32" if usual else random.choice(("fp32", "fp16", "bf16", "fp8")),
        "workload.states.masters": "fp32" if usual else random.choice(("fp32", "fp16")),
    }


def _stages(random: Random, pp: int, vpp: int) -> list[int]:
    """Layers of each chunk: even, an odd first or last stage, or anything."""
    counts = [random.choice((1, 2, 4))] * (pp * vpp)
    for index in random.choice(((), (0,), (-1,), (0, -1), range(len(counts)))):
        counts[index] = random.randint(1, 5)
    return counts


def _model(random: Random, layers: int, heads: int, experts: int) -> dict[str, Any]:
    latent = random.random() < 0.2
    return {
        "model.num_hidden_layers": layers,
        "model.num_attention_heads": heads,
        "model.num_key_value_heads": heads if latent else random.choice((heads, heads // 2)),
        "model.hidden_size": heads * 64,
        "model.head_dim": 64,
        "model.intermediate_size": heads * 128,
        "model.gated_mlp": random.random() < 0.7,
        "model.tie_word_embeddings": random.random() < 0.5,
        "model.num_experts": experts,
        "model.num_experts_per_tok": random.randint(1, experts) if experts else 0,
        "model.moe_intermediate_size": heads * 16 if experts else None,
        "model.first_k_dense_replace": random.randint(0, layers - 1),
        "model.num_shared_experts": random.choice((0, 1)),
        "model.num_nextn_predict_layers": random.choice((0, 0, 1)),
        **(dict.fromkeys(_LATENT, 64) if latent else {}),
        "model.declared": TRAIN.model.declared,
        **_layers(random, experts > 0),
    }


def _layers(random: Random, moe: bool) -> dict[str, Any]:
    """What layers do beside their sizes."""
    biases, sigmoid = random.random() < 0.3, random.random() < 0.5
    return {
        "model.attention_bias": biases,
        "model.mlp_bias": biases,
        "model.qkv_bias": random.random() < 0.2,
        "model.use_qk_norm": random.random() < 0.5,
        "model.qk_norm_type": random.choice(("per_head", "l2")),
        "model.attention_sinks": random.random() < 0.2,
        "model.rope_scaling.rope_type": random.choice(("default", "linear", "llama3", "yarn")),
        "model.rope_scaling.factor": random.choice((1.0, 8.0)),
        "model.partial_rotary_factor": random.choice((1.0, 0.5)),
        "model.position_embedding_type": random.choice(("rope", "rope", "rope", "absolute", "none")),
        "model.scoring_func": "sigmoid" if moe and sigmoid else "softmax",
        "model.use_routing_bias": moe and random.random() < 0.5,
        "model.routed_scaling_factor": random.choice((1.0, 2.5)),
        "model.norm_topk_prob": random.random() < 0.7,
        "model.shared_expert_gate": random.random() < 0.2,
        "model.router_aux_loss_coef": random.choice((0.0, 0.01)),
        "model.seq_aux": random.random() < 0.3,
        "model.router_jitter_noise": random.choice((0.0, 0.0, 0.01)),
    }


_LATENT = tuple(
    f"model.{name}" for name in ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
)


def _group_options(random: Random, adp: int, cp: int, edp: int) -> dict[str, Any]:
    """Arguments that add groups: optimizer instances and levels of context parallelism."""
    words: list[str] = []
    common = [size for size in range(2, 9) if math.gcd(adp * cp, edp) % size == 0]
    if common and random.random() < 0.5:
        words += ["--num-distributed-optimizer-instances", str(random.choice(common))]
    levels = [sizes for sizes in ("2 2", "4 2", "2 2 2") if math.prod(map(int, sizes.split())) == cp]
    if levels and random.random() < 0.5:
        words += ["--hierarchical-context-parallel-sizes", *random.choice(levels).split(), "--cp-comm-type", "a2a+p2p"]
    return {"framework.args": words}


def verdict(config: Config) -> str:
    """Where the Megatron that is imported refuses a plan, launched as it would be, and why; empty where it takes it."""
    world, own = lay_out(config), config.launch.environment
    with mock.patch.object(recorded, "_text", lambda emission: {**emission.environment, **own}):
        args = recorded.parsed(adapter("megatron").emission(world), world.size)
        if isinstance(args, Refused):
            return f"arguments: {args.reason}"
        made = recorded.groups(world, recorded.settings(args))
        if isinstance(made, Refused):
            return f"groups: {made.reason}"
        found = placed.configured(world, args)
        return f"configuration: {found.reason}" if isinstance(found, Refused) else ""
