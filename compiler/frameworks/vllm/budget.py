"""Tokens of a pass, and of a captured graph, where nobody says: vLLM chooses them by the GPU."""

from __future__ import annotations

from compiler.frameworks.devices import device
from compiler.frameworks.family import family
from compiler.frameworks.options import number, options
from compiler.specs.config import Config

BUDGET = "--max-num-batched-tokens"
LOW_LATENCY_TOKENS = 256
"""Of a pass with kernels whose buffers are as large as the largest batch (`config/scheduler.py`)."""

BATCHED = ("deepep_low_latency", "nixl_ep")
"""All-to-all back ends with such kernels (`config/parallel.py`, use_batched_dp_moe)."""

GIB = 2**30


def by_gpu(config: Config) -> int:
    """Of a pass of the API server's (`engine/arg_utils.py`, get_batch_defaults)."""
    gpu = config.hardware.gpu
    if gpu.memory_bytes >= 160 * GIB:
        found = 16384
    else:
        found = 8192 if gpu.memory_bytes >= 70 * GIB and "a100" not in gpu.name.lower() else 2048
    return found * (2 if options(config.framework.args).get("--performance-mode") == "throughput" else 1)


def chosen(config: Config, backend: str | None) -> int:
    """Of a pass, where an all-to-all back end is asked for that may want small ones."""
    batched = backend in BATCHED and config.degrees.ep > 1 and config.degrees.adp > 1
    return LOW_LATENCY_TOKENS if batched else by_gpu(config)


def tokens(config: Config, given: dict[str, str]) -> int:
    """Of a pass: as an option says, the user's or the plan's, else as vLLM chooses."""
    return number(given, BUDGET, chosen(config, given.get("--all2all-backend")))


def graph_tokens(config: Config) -> int:
    """Of the largest graph that is captured, whatever the batch (`config/vllm.py`, _set_cudagraph_sizes); GPT-OSS has more
    (`models/config.py`, GptOssForCausalLMConfig).
    """
    large = family(config.model) == "gpt_oss" or device(config.hardware.gpu).generation(10)
    return 1024 if large else 512
