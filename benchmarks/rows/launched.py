"""How the servers of rows were launched, as published scripts do it (InferenceX): no column says."""

from __future__ import annotations

from benchmarks.rows.hardware import gpu_file
from benchmarks.rows.record import Row
from compiler import gpus
from compiler.frameworks.adapter import servers
from compiler.specs.config import Framework
from compiler.specs.degrees import Parallel
from compiler.specs.model import Model
from compiler.speed import calibrated

CROWD = 16
"""Requests from which on SGLang is launched to look for more once in 30 steps."""

CHUNKS = {"sglang": 32768}
"""Tokens of prompts in a step where scripts set them: SGLang's --chunked-prefill-size. With FP4 they set half of it, which changes no
family's error by 0.1.
"""

DRAFTING = (("trtllm", "1.2.0rc6.post3"),)
"""Releases that published configurations start with drafts, and in no other way (InferenceX's dsr1-*-b200-trt-mtp)."""

ACCEPTED = 0.6
"""Drafts of prompts made of random words that are accepted (chosen by the error of models that were left out: 0.6 to 0.7)."""

UNSET = ("0.15", "0.16", "0.17")
"""vLLM's releases whose scripts leave the cache of FP8 weights as it is (those of 0.18 begin to set --kv-cache-dtype)."""


MOST_REQUESTS = 3000
"""Requests of the shortest run at the most throughput, by TensorRT-LLM's page on its performance; longer ones have fewer."""


def requests(prompt: int, output: int) -> int:
    """How many requests such a run has, all queued at once."""
    return MOST_REQUESTS // (1 if prompt + output < 4096 else 2 if max(prompt, output) < 16384 else 3)


def server(row: Row) -> str:
    """The framework that a row's backend is, by our name; the plan's own rules stand in for what is no server of ours."""
    name = next((name for name, other in calibrated.BACKENDS.items() if other == row["backend"]), row["backend"])
    return name if name in servers() else "none"


def cached(row: Row, weights: str) -> str | None:
    """Precision of keys and values; None where it is the weights' own.

    FP8 on Blackwell, and TensorRT-LLM's everywhere; else that of activations, as where weights alone are quantised: INT4,
    and FP4 without units for it.
    """
    narrow = weights in ("fp8", "fp4", "nvfp4")
    blackwell = gpus.generation(gpu_file(row)) == "blackwell" or gpu_file(row) == "rtx_pro_6000"
    if not narrow:
        return None
    unset = row["backend"] == "vllm" and weights == "fp8" and row["backend_version"].startswith(UNSET)
    if "int4" in row["precision"].lower() or unset:
        return "bf16"
    everywhere = row["backend"] not in ("vllm", "sglang") and weights == "fp8"
    return "fp8" if blackwell or everywhere else "bf16"


def drafts(row: Row, architecture: Model, parallel: Parallel) -> int:
    """Tokens that each step drafts with a model's own layers: three, one with attention DP."""
    if (row["backend"], row["backend_version"]) not in DRAFTING or not architecture.num_nextn_predict_layers:
        return 0
    return 1 if (parallel.adp or 1) > 1 else 3


def interval(row: Row, requests: int) -> int:
    """Decode steps between looks for requests: SGLang's releases on Blackwell are launched with --scheduler-recv-interval 10, and
    30 from 16 requests on; those on Hopper and of builds that are named instead of numbered set none, and other engines look
    after each step.
    """
    named = row["backend_version"][:1].isalpha()
    if row["backend"] != "sglang" or named or gpus.generation(gpu_file(row)) != "blackwell":
        return 1
    return 30 if requests >= CROWD else 10


def chunk(row: Row) -> int | None:
    """Tokens of prompts in a step, where scripts set them."""
    return CHUNKS.get(row["backend"])


def framework(row: Row, requests: int) -> Framework:
    """The server of a row, as it looks for requests."""
    steps = interval(row, requests)
    return Framework(name=server(row), args=[f"--scheduler-recv-interval={steps}"] * (steps > 1))
