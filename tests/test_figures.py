"""What is written is finite, never negative, and no longer than it is sure of: numpy's last digits are nobody's business."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from compiler.costs.arrays import settled
from compiler.errors import InvariantError
from compiler.passes import compile_config
from compiler.plan import Plan
from compiler.report import sections
from compiler.report.markdown import markdown
from compiler.specs.config import Config, Framework
from compiler.words import DIGITS, figures
from tests.configs import changed, composed

MODELS = ("llama3_1_8b", "qwen3_30b_a3b", "deepseek_v3")
CLUSTERS = ("h100_80gb", "generic_64gb")
TRAINING = ("none", "megatron", "deepspeed", "torchtitan", "maxtext")
SERVING = ("none", "vllm", "sglang", "tensorrt_llm")
RATES = (
    "gpu.memory_bandwidth",
    "gpu.peak_flops.bf16",
    "nvlink.bandwidth",
    "nvlink.latency",
    "nic.bandwidth",
    "nic.latency",
)


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def rates(config: Config) -> dict[str, float]:
    hardware = config.hardware
    return {f"hardware.{key}": _at(hardware, key) for key in RATES}


def _at(spec: Any, key: str) -> float:
    for part in key.split("."):
        spec = getattr(spec, part)
    return float(spec)


def drawn(random: Random, kind: str) -> Config:
    """A plan, sensible or not: one node of every framework, with what shapes costs."""
    names = TRAINING if kind == "train" else SERVING
    cluster, model = random.choice(CLUSTERS), random.choice(MODELS)
    config = composed(f"hardware={cluster}", f"model={model}", f"workload={kind}", "~expect")
    tp, pp = random.choice(((8, 1), (4, 1), (4, 2), (2, 4), (1, 1)))
    name = random.choice(names)
    values: dict[str, Any] = {
        "parallel.tp": tp,
        "parallel.pp": pp,
        "parallel.dp": None,
        "parallel.adp": 8 // (tp * pp),
        "parallel.ep": 1,
        "hardware.nodes": 1,
        "hardware.gpu.memory_bytes": random.choice((8e10, 1e13)),
        "framework": Framework(name),
        "workload.global_batch_size": random.choice((8, 64, 8000)),
    }
    if kind == "train":
        values["workload.recompute"] = random.choice(("none", "full"))
        values["workload.tokens"] = random.choice((None, 1e-3, 1e30))
        values["workload.gpu_mtbf_s"] = random.choice((None, 1e-6, 1e12))
        values["workload.checkpoint_s"] = random.choice((0.0, 30.0, 1e12))
    else:
        values["workload.sequence_lengths"] = [random.choice((1, 1000)), random.choice((1024, 30000))]
        values["workload.output_length"] = random.choice((1, 1000))
        values["workload.draft_tokens"] = random.choice((0, 0, 2))
        values["workload.prefill_chunk"] = random.choice((None, 512))
    return changed(config, values)


def plans(random: Random, count: int, kind: str, scale: Any) -> Iterator[tuple[Config, Plan]]:
    while count:
        config = drawn(random, kind)
        config = changed(config, {key: value * scale(random) for key, value in rates(config).items()})
        try:
            yield config, compile_config(config)
        except InvariantError:
            continue
        count -= 1


@pytest.mark.parametrize("kind", ["train", "serve"])
def test_nothing_written_is_negative_or_no_number(kind: str) -> None:
    """At rates that are off by any factor."""
    random = Random(3)
    for _, plan in plans(random, 20, kind, lambda random: 10.0 ** random.choice((-30, -6, 0, 0, 6, 100))):
        contents = plan.to_dict()
        for value in numbers(contents):
            assert math.isfinite(value)
            assert value >= 0
            if isinstance(value, float):
                assert value == float(f"{value:.{DIGITS}g}")
        text = markdown(plan.name, sections.of(plan, contents)) + "".join(
            check.message + check.observed for check in plan.checks
        )
        assert not re.search(r"\b(inf|nan)\b", text.replace("num.nan", ""))


@pytest.mark.parametrize("kind", ["train", "serve"])
def test_last_digits_do_not_reach_what_is_written(kind: str) -> None:
    """As by another release of numpy, or on another processor: every rate is off by a few units in its last place."""
    for config, plan in plans(Random(5), 10, kind, lambda _: 1.0):
        nudged = {key: value * (1 + 4e-16 * (-1) ** i) for i, (key, value) in enumerate(rates(config).items())}
        assert nudged != rates(config)
        other = compile_config(changed(config, nudged)).to_dict()
        assert other | {"fingerprint": plan.fingerprint} == plan.to_dict()


def test_figures_are_cut_and_texts_are_not() -> None:
    found = figures({"a": 1 / 3, "b": [float("inf"), float("nan")], "c": ("x", 10**18 + 1, True, None)})
    assert found == {"a": 0.333333333, "b": [None, None], "c": ["x", 10**18 + 1, True, None]}


def test_parts_are_told_to_the_digits_of_their_whole() -> None:
    assert settled({"a": 2.0, "b": -3e-17, "c": 1.23456789012e-3}) == {"a": 2.0, "b": 0.0, "c": 0.00123457}
    assert settled({"a": 0.0}) == {"a": 0.0}
    assert math.isnan(settled({"a": float("nan")})["a"])
