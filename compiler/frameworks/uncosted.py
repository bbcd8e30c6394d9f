"""Arguments that change memory or time and that no cost of ours follows: by framework, and what each changes.

Of an option that costs follow for most of its values, those that they do not: the option and the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.checks import Check, rule, warned
from compiler.frameworks.told import words
from compiler.specs.config import Config

_GRAPHS = "CUDA graphs: memory of static buffers, and less time of launches"
_OVERLAP = "work that runs beside other work"
_FUSION = "fewer kernels and copies"
_OFFLOAD = "what goes to the host's memory"

_HOST_CACHE = "keys and values that wait in the host's memory: prompts that are found there"
_GROUPS = "weights that are fetched from the host's memory"

UNCOSTED: Mapping[str, Mapping[str, str]] = {
    "megatron": {
        **dict.fromkeys(("--optimizer-cuda-graph",), _GRAPHS),
        **dict.fromkeys(("--tp-comm-overlap",), _OVERLAP),
        **dict.fromkeys(("--defer-embedding-wgrad-compute", "--overlap-cpu-optimizer-d2h-h2d"), _OVERLAP),
        **dict.fromkeys(("--overlap-param-gather-with-optimizer-step",), _OVERLAP),
        **dict.fromkeys(("--moe-permute-fusion", "--moe-router-fusion", "--moe-permute-fusion-into-hybridep"), _FUSION),
        **dict.fromkeys(("--mla-down-proj-fusion", "--use-transformer-engine-op-fuser"), _FUSION),
        **dict.fromkeys(("--cpu-offloading-num-layers",), _OFFLOAD),
        **dict.fromkeys(("--use-nccl-ub",), "buffers of communicators"),
        **dict.fromkeys(
            ("--muon-tp-mode duplicated", "--muon-tp-mode distributed"), "matrices that tp ranks put together"
        ),
        **dict.fromkeys(
            ("--optimizer lion", "--optimizer soap", "--optimizer adaptive_muon"), "what the optimizer keeps"
        ),
        "--muon-scalar-optimizer lion": "what the optimizer of embeddings keeps",
    },
    "vllm": {
        "--kv-offloading-size": _HOST_CACHE,
        "--offload-group-size": _GROUPS,
    },
    "sglang": {
        "--enable-hierarchical-cache": _HOST_CACHE,
        "--enable-lmcache": _HOST_CACHE,
        "--offload-group-size": _GROUPS,
    },
    "tensorrt_llm": {
        "--extra_llm_api_options.kv_cache_config.host_cache_size": _HOST_CACHE,
        "--config.kv_cache_config.host_cache_size": _HOST_CACHE,
    },
    "torchtitan": {
        "--compile.enable": "fused kernels, and what they keep",
        "--training.dtype": "precision of weights, gradients and optimizer states",
        "--optimizer.implementation": "kernels of the optimizer",
    },
    "maxtext": {
        "weight_dtype": "precision of weights and optimizer states",
        "opt_type": "what the optimizer keeps of a weight",
        "num_vocab_tiling": "logits that are alive at a time",
    },
    "deepspeed": {
        "--json.optimizer.type": "what the optimizer keeps of a weight",
        "--json.zero_optimization.reduce_bucket_size": "buffers of gradients",
        "--json.zero_optimization.allgather_bucket_size": "buffers of parameters",
        "--json.zero_optimization.stage3_max_live_parameters": "parameters that are whole at a time",
        "--json.zero_optimization.zero_quantized_weights": "bytes of gathered parameters",
        "--json.zero_optimization.zero_quantized_gradients": "bytes of reduced gradients",
        "--json.communication_data_type": "bytes of reduced gradients",
        "--json.bf16.bf16_master_weights_and_grads": "precision of gradients and optimizer states",
        "--json.bf16.bf16_optimizer_states": "precision of optimizer states",
    },
}


SERVERS = ("vllm", "sglang", "tensorrt_llm")
"""Whose arguments are those of servers."""


@rule
def uncosted(config: Config) -> Iterator[Check]:
    """One warning for all of them; nothing where none is given."""
    table = UNCOSTED.get(config.framework.name, {})
    starts = bool if config.framework.name == "maxtext" else None
    said = words(config.framework.args, starts) if starts else words(config.framework.args)
    spelt = (name for item in said for name in (item.name, " ".join((item.name, *item.values))))
    found = {name: table[name] for name in spelt if name in table}
    if not found or config.workload.train == (config.framework.name in SERVERS):
        return
    listed = "; ".join(f"{name} ({what})" for name, what in found.items())
    yield warned(
        "framework-uncosted",
        observed=", ".join(found),
        limit="arguments that costs follow",
        message=f"framework.args sets what memory and times of the plan do not follow: {listed}",
        fix="take both as those of a run without",
    )
