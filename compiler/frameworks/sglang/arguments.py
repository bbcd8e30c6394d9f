"""SGLang's options in `framework.args`, each by one name."""

from __future__ import annotations

from compiler.frameworks.asked import CACHE, asked, cache_option
from compiler.frameworks.options import options, sizes
from compiler.frameworks.sglang.contexts import forced, strategy
from compiler.specs.config import Config

ALIASES = {
    "--model": "--model-path",
    "--tensor-parallel-size": "--tp-size",
    "--pipeline-parallel-size": "--pp-size",
    "--data-parallel-size": "--dp-size",
    "--attention-data-parallel-size": "--attn-dp-size",
    "--attention-context-parallel-size": "--attn-cp-size",
    "--moe-data-parallel-size": "--moe-dp-size",
    "--decode-context-parallel-size": "--dcp-size",
    "--expert-parallel-size": "--ep-size",
    "--ep": "--ep-size",
    "--nccl-init-addr": "--dist-init-addr",
}
"""Other spellings of an option -> the one that we write (`arg_groups/fields/`)."""

DECIDED = (
    "--tp-size --pp-size --attn-dp-size --attn-cp-size --enable-prefill-cp --ep-size --moe-dp-size "
    "--init-expert-location --nnodes --node-rank --dist-init-addr"
).split()
"""Options that a plan decides, also where it leaves them at their defaults."""

KEYS = {
    "--tp-size": "parallel.tp",
    "--pp-size": "parallel.pp",
    "--attn-cp-size": "parallel.cp",
    "--attn-dp-size": "parallel.adp",
    "--dp-size": "parallel.adp",
    "--ep-size": "parallel.ep",
    "--dtype": "workload.precision",
    "--max-running-requests": "workload.global_batch_size",
    "--context-length": "workload.sequence_lengths",
}
"""Options of ours, and the key that each comes from; `--tp-size` is tp alone where adp and cp are 1."""

SPANNING = "ascend_fuseep deepep deepep_v2 flashinfer flashinfer_megamoe megamoe mooncake mori nixl pplx".split()
"""All-to-all back ends that set ep_size to tp_size without a word (`arg_groups/overrides.py _a2a_ep_size`)."""


STRATEGY = "--cp-strategy"
"""How prompts are cut for context parallelism (`arg_groups/parallel_hook.py`)."""

A2A, HALVES = "--moe-a2a-backend", "--enable-two-batch-overlap"
SETTINGS = {
    A2A: "workload.low_latency_dispatch",
    HALVES: "workload.two_batch_overlap",
    CACHE: "workload.kv_cache_precision",
}
"""Options that the workload may switch on -> the key that does."""

CACHES = {"bf16": "bf16", "bfloat16": "bf16", "fp8_e4m3": "fp8"}
CHUNKS = {"--chunked-prefill-size": lambda tokens, adp: tokens // adp}
"""Options that the keys of the workload say, as they are read where a user writes them."""

DTYPES = {"bf16": "bf16", "fp8": "fp8_e4m3"}


def planned(config: Config) -> tuple[str, ...]:
    """Options of the workload's passes; what it leaves alone stays the user's.

    SGLang divides a chunk by the attention DP (`arg_groups/parallel_hook.py`). Its low-latency kernels cannot prefill: a
    server of both phases takes them in decode alone, which is `auto` (`layers/moe/utils.py DeepEPMode.resolve`).
    """
    wanted = asked(config)
    mode = "low_latency" if config.workload.role == "decode" else "auto"
    drafts = (
        "--speculative-algorithm=EAGLE",
        f"--speculative-num-steps={wanted.drafts}",
        "--speculative-eagle-topk=1",
        f"--speculative-num-draft-tokens={wanted.drafts + 1}",
    )
    return (
        *[f"--chunked-prefill-size={(wanted.chunk or 0) * config.degrees.adp}"] * (wanted.chunk is not None),
        *drafts * (wanted.drafts > 0),
        *[f"{A2A}=deepep", f"--deepep-mode={mode}"] * wanted.low_latency,
        *[f"{name}={value}" for name, value in forced(config).items() if name != A2A or not wanted.low_latency],
        *[HALVES] * wanted.overlap,
        *cache_option(config, DTYPES),
        *[f"{STRATEGY}={strategy(config)}"]
        * (config.degrees.cp > 1 and STRATEGY not in options(config.framework.args)),
    )


def given(config: Config) -> dict[str, str]:
    """Option -> value: the user's, and those of `planned`."""
    return options([*config.framework.args, *planned(config)], ALIASES)


def spelt(config: Config, flag: str) -> str:
    """How the user wrote an option: itself, or the key that it comes from."""
    if flag in forced(config) and not (flag == A2A and asked(config).low_latency):
        return "parallel.cp" if config.degrees.cp > 1 else "parallel.adp"
    return SETTINGS.get(flag, flag) if flag in options(planned(config)) else flag


def backend(args: dict[str, str]) -> str:
    """The all-to-all back end; `--enable-waterfill` asks for DeepEP itself."""
    chosen = args.get("--moe-a2a-backend", "none")
    waterfill = "--enable-waterfill" in args and chosen not in ("deepep", "megamoe")
    return "deepep" if waterfill else chosen


NO_GRAPH = ("--disable-cuda-graph", "--disable-decode-cuda-graph")
GRAPH_SIZES = ("--cuda-graph-max-bs", "--cuda-graph-max-bs-decode", "--cuda-graph-bs", "--cuda-graph-bs-decode")
"""Sizes of CUDA graphs of decode, by the names of 0.5.23 and by those of before."""


def graph_batch(config: Config) -> int | None:
    """Sequences up to which a graph is captured; None where SGLang chooses them by the GPU."""
    if any(flag in given(config) for flag in NO_GRAPH):
        return 0
    return max(sizes(config.framework.args, GRAPH_SIZES), default=None)
