"""vLLM's options in `framework.args`, each by one name."""

from __future__ import annotations

from dataclasses import replace

from compiler.frameworks import copies
from compiler.frameworks.asked import CACHE, asked, cache_option, sequences, step_tokens
from compiler.frameworks.options import nested, number, options, sizes
from compiler.frameworks.serving import stage_width
from compiler.frameworks.vllm.budget import BATCHED, BUDGET, by_gpu, chosen, graph_tokens
from compiler.frameworks.vllm.budget import tokens as budget
from compiler.specs.config import Config
from compiler.specs.degrees import Degrees

_SHORT = {
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-pcp": "--prefill-context-parallel-size",
    "-dcp": "--decode-context-parallel-size",
    "-dp": "--data-parallel-size",
    "-dpn": "--data-parallel-rank",
    "-dpr": "--data-parallel-start-rank",
    "-dpl": "--data-parallel-size-local",
    "-dpa": "--data-parallel-address",
    "-dpp": "--data-parallel-rpc-port",
    "-dpb": "--data-parallel-backend",
    "-dph": "--data-parallel-hybrid-lb",
    "-dpe": "--data-parallel-external-lb",
    "-dpm": "--data-parallel-multi-port-external-lb",
    "-ep": "--enable-expert-parallel",
    "-n": "--nnodes",
    "-r": "--node-rank",
    "-asc": "--api-server-count",
    "-q": "--quantization",
    "-sc": "--speculative-config",
    "-cc": "--compilation-config",
    "-ac": "--attention-config",
    "-dc": "--diffusion-config",
}
_LONG = [
    *_SHORT.values(),
    *(
        "--all2all-backend --distributed-executor-backend --dtype --enable-dbo --enable-elastic-ep --enable-eplb "
        "--enable-return-routed-experts --enable-hc-sp --enable-fault-tolerance --enable-lora --async-scheduling "
        "--attention-config --kv-cache-dtype --kv-transfer-config --dbo-decode-token-threshold "
        "--dbo-prefill-token-threshold --eplb-config --expert-placement-strategy --headless --master-addr --master-port "
        "--max-model-len --max-num-seqs --max-num-batched-tokens --enable-chunked-prefill --model --ubatch-size"
    ).split(),
]
ALIASES = {**_SHORT, **{"--" + name[2:].replace("-", "_"): name for name in _LONG}}
"""Other spellings of an option -> the one that we write (`engine/arg_utils.py`); `_` is as good as `-`."""

DECIDED = (
    "--tensor-parallel-size --pipeline-parallel-size --prefill-context-parallel-size --data-parallel-size "
    "--data-parallel-size-local --data-parallel-start-rank --data-parallel-address --data-parallel-rpc-port "
    "--enable-expert-parallel --expert-placement-strategy --nnodes --node-rank --master-addr --master-port --headless"
).split()
"""Options that a plan decides, also where it leaves them at their defaults."""


KEYS = {
    "--tensor-parallel-size": "parallel.tp",
    "--pipeline-parallel-size": "parallel.pp",
    "--prefill-context-parallel-size": "parallel.cp",
    "--data-parallel-size": "parallel.adp",
    "--dtype": "workload.precision",
    "--max-num-seqs": "workload.global_batch_size",
    "--max-model-len": "workload.sequence_lengths",
}
"""Options of ours, and the key that each comes from."""

OPPOSITES = {
    f"--no-{name[2:]}": name for name in ("--enable-chunked-prefill", "--enable-dbo", "--enable-expert-parallel")
}
"""What switches off an option that a plan may switch on, or decides."""

KV_TRANSFER = "--kv-transfer-config"
DRAFTS = "--speculative-config"
LOW_LATENCY = "deepep_low_latency"
DTYPES = {"bf16": "bfloat16", "fp8": "fp8"}
SETTINGS = {
    "--enable-dbo": "workload.two_batch_overlap",
    "--all2all-backend": "workload.low_latency_dispatch",
    DRAFTS: "workload.draft_tokens",
    CACHE: "workload.kv_cache_precision",
}
"""Options that the workload may switch on -> the key that does."""


CACHES = {"bfloat16": "bf16", "fp8": "fp8", "fp8_e4m3": "fp8"}
CHUNKS = {"--max-num-batched-tokens": lambda tokens, _: tokens}
"""Options that the keys of the workload say, as they are read where a user writes them."""

WHOLE = "--no-enable-chunked-prefill"
"""With it a pass has whole prompts, and the budget is no chunk of them."""


def chunked(config: Config) -> Config:
    """With prompts in the passes that vLLM cuts longer ones into by itself, where nobody says another size; all sequences that
    decode go into one of them. It is of one server: each of two pools has its own degrees, batch and arguments.
    """
    workload, args = config.workload, options(config.framework.args, ALIASES)
    said = workload.prefill_chunk is not None or workload.train or workload.role == "decode"
    if said or BUDGET in args or args.get("--all2all-backend") in BATCHED or WHOLE in args:
        return config
    tokens = by_gpu(config)
    if workload.longest <= tokens or asked(config).low_latency:
        return config
    return replace(config, workload=replace(workload, prefill_chunk=max(tokens, step_tokens(config))))


def planned(config: Config) -> tuple[str, ...]:
    """Options of the workload's passes; what it leaves alone stays the user's."""
    wanted = asked(config)
    wide = _widened(config)
    drafts = f'{{"method":"mtp","num_speculative_tokens":{wanted.drafts}}}'
    return (
        *["--enable-chunked-prefill", f"{BUDGET}={wanted.chunk}"] * (wanted.chunk is not None),
        *[f"{BUDGET}={wide}"] * (wide > 0),
        *[f"{DRAFTS}={drafts}"] * (wanted.drafts > 0),
        *[f"--all2all-backend={LOW_LATENCY}"] * wanted.low_latency,
        *["--enable-dbo"] * wanted.overlap,
        *cache_option(config, DTYPES),
    )


def _widened(config: Config) -> int:
    """Tokens of a pass that all sequences of a rank need, where vLLM would choose fewer and stop; 0 where it chooses enough, or
    somebody else does.
    """
    wanted, args = asked(config), options(config.framework.args, ALIASES)
    if wanted.chunk is not None or wanted.low_latency or BUDGET in args or not config.degrees.factors:
        return 0
    need = sequences(config) if config.workload.role == "prefill" else step_tokens(config)
    return need if need > chosen(config, args.get("--all2all-backend")) else 0


def given(config: Config) -> dict[str, str]:
    """Option -> value: the user's, and those of `planned`."""
    return options([*config.framework.args, *planned(config)], ALIASES)


def spelt(config: Config, flag: str) -> str:
    """How the user wrote an option: itself, or the key of the workload that it comes from."""
    return SETTINGS.get(flag, flag) if flag in options(planned(config)) else flag


COPIES = ("--eplb-config", "num_redundant_experts")


def redundant(config: Config) -> int:
    """Redundant expert slots, which only EPLB fills."""
    return copies.counted(nested(given(config), *COPIES)) or 0


def decode_context(config: Config) -> int:
    """Ranks that share a decode KV cache (DCP)."""
    return max(1, number(given(config), "--decode-context-parallel-size", 1))


def transfers_by_nixl(config: Config) -> bool:
    """Whether the plan chooses how a pool's KV caches move: the user's `--kv-transfer-config` goes before it."""
    return config.workload.role is not None and KV_TRANSFER not in given(config)


def expressible(degrees: Degrees) -> bool:
    """Whether experts are whole over all ranks of a stage, or cut over all of them."""
    width = stage_width(degrees)
    return (degrees.ep, degrees.etp) in ((width, 1), (1, width))


def expert_parallel(config: Config) -> bool:
    """Whether the plan runs with `--enable-expert-parallel`."""
    return config.model.moe and config.degrees.ep > 1


GRAPH_SIZES = ("--max-cudagraph-capture-size", "--cudagraph-capture-sizes")
COMPILATION = "--compilation-config"


def graph_batch(config: Config) -> int:
    """Sequences up to which a graph is captured, whose sizes are in tokens."""
    args = given(config)
    if "--enforce-eager" in args or nested(args, COMPILATION, "cudagraph_mode") == "NONE":
        return 0
    most, several = (
        nested(args, COMPILATION, f"{key}") for key in ("max_cudagraph_capture_size", "cudagraph_capture_sizes")
    )
    found = [*sizes(config.framework.args, GRAPH_SIZES), *(several if isinstance(several, list) else [most])]
    tokens = max((size for size in found if isinstance(size, int)), default=None)
    if tokens is None:
        tokens = min(graph_tokens(config), budget(config, args))
    return tokens // (1 + asked(config).drafts)
