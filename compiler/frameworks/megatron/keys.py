"""Megatron's options that say what keys of the workload say, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.frameworks import told
from compiler.frameworks.megatron import hybrid
from compiler.frameworks.told import Key, count, part, texts, whole_numbers
from compiler.specs.config import Config
from compiler.specs.workload import Workload

_DTYPES = {name: name for name in ("fp32", "fp16", "bf16", "fp8")}


GRAPHED = ("--cuda-graph-impl", "--enable-cuda-graph", "--external-cuda-graph")
"""Any of them captures launches."""


def eight_bits(workload: Workload) -> bool:
    return workload.precision in ("fp8", "mxfp8")


def four_bits(workload: Workload) -> bool:
    return workload.precision in ("fp4", "nvfp4")


def _captured(values: tuple[str, ...]) -> str | None:
    """What is captured, by an implementation and its scope."""
    if "full_iteration" in values:
        return "step"
    return None if values[0] == "none" else "layer"


def _again(values: tuple[str, ...]) -> str | None:
    """What runs again: Megatron's modules, or every layer by itself; other methods and counts are not the key's."""
    return "selective" if values[0] == "selective" else "full" if values == ("full", "uniform", "1") else None


def _sent(values: tuple[str, ...]) -> list[str] | None:
    """Modules that send what they keep to the host."""
    return texts(tuple(filter(None, values)))


KEYS: Mapping[str, Key] = {
    "--recompute-granularity": Key("recompute", _again),
    "--recompute-modules": Key("recompute_modules", texts),
    "--grad-reduce-in-bf16": Key("states.gradients", {"": "bf16"}),
    "--main-grads-dtype": Key("states.gradients", {"bf16": "bf16"}),
    "--main-params-dtype": Key("states.masters", _DTYPES),
    "--exp-avg-dtype": Key("states.exp_avg", _DTYPES),
    "--exp-avg-sq-dtype": Key("states.exp_avg_sq", _DTYPES),
    "--fp8-param-gather": Key("states.weights", {"": "fp8"}, eight_bits),
    "--fp4-param-gather": Key("states.weights", {"": "fp4"}, four_bits),
    "--fp8-format": Key("precision", {"hybrid": "fp8", "e4m3": "fp8"}, lambda workload: workload.precision != "mxfp8"),
    "--fp8-recipe": Key("precision", {"mxfp8": "mxfp8"}, eight_bits, finer=("fp8",)),
    "--moe-enable-deepep": Key("dispatch", {"": "deduplicated"}),
    "--moe-token-dispatcher-type": Key("dispatch", {"alltoall": "alltoall", "flex": "deduplicated"}),
    "--overlap-moe-expert-parallel-comm": Key("overlapped_dispatch", {"": True}),
    "--moe-shared-expert-overlap": Key("overlapped_shared_experts", {"": True}),
    "--delay-wgrad-compute": Key("delayed_weight_gradients", {"": True}),
    "--optimizer": Key("optimizer", {"muon": "muon", "sgd": "sgd"}),
    "--muon-num-ns-steps": Key("muon_steps", count),
    "--optimizer-cpu-offload": Key("optimizer_offload", part),
    "--fine-grained-activation-offloading": Key("offload_modules", _sent),
    "--first-last-layers-bf16": Key("wide_layers", whole_numbers, eight_bits),
    **dict.fromkeys(GRAPHED, Key("cuda_graphs", _captured)),
    "--attention-backend": Key("fused_attention", {"unfused": False}),
    "--no-gradient-accumulation-fusion": Key("fused_accumulation", {"": False}),
}
"""Option -> the key that it is read as. `--fp8-param-gather` of a plan in BF16, which Megatron passes over, stays where it is."""


_MORE: Mapping[str, Mapping[str, str]] = {
    "--recompute-granularity": {"--recompute-method": "uniform", "--recompute-num-layers": "1"},
    "--optimizer-cpu-offload": {"--optimizer-offload-fraction": "1"},
    "--fine-grained-activation-offloading": {"--offload-modules": ""},
    **{flag: {"--cuda-graph-scope": "", "--cuda-graph-modules": ""} for flag in GRAPHED},
    "--first-last-layers-bf16": {"--num-layers-at-start-in-bf16": "1", "--num-layers-at-end-in-bf16": "1"},
}
"""Options, and those that say more of them with their defaults."""


def read(config: Config) -> Config:
    """Raises ConfigError."""
    return told.read(config, KEYS, _said(config))


def said(config: Config) -> frozenset[str]:
    """Options of `framework.args` that say what the plan's keys say."""
    return told.agreeing(config, KEYS, _said(config)) | hybrid.said(config)


def _said(config: Config) -> Iterator[told.Said]:
    return told.joined(told.words(config.framework.args), _MORE)
