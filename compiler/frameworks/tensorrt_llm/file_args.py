"""What `framework.args` add to TensorRT-LLM's options file: `--extra_llm_api_options.moe_config.backend=CUTLASS`, or a file of the
user's on the cluster, `--extra_llm_api_options FILE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.checks import Check, rule, warned
from compiler.errors import ConfigError, Problem
from compiler.frameworks import choices, copies
from compiler.frameworks.options import leaves, options, without
from compiler.inputs import plain, yaml_mapping
from compiler.specs.config import Config

OPTION = "--extra_llm_api_options"
SPELLINGS = (OPTION, "--config")

ELSEWHERE = {
    "tensor_parallel_size": "parallel",
    "pipeline_parallel_size": "parallel",
    "context_parallel_size": "parallel",
    "moe_tensor_parallel_size": "parallel",
    "moe_expert_parallel_size": "parallel",
    "moe_cluster_parallel_size": "parallel",
    "gpus_per_node": "hardware.node.gpus",
    "max_batch_size": "workload.global_batch_size",
    "max_num_tokens": "workload.prefill_chunk",
    "max_seq_len": "workload.sequence_lengths",
    "pp_partition": "parallel.stages",
    "speculative_config": "workload.draft_tokens",
    "kv_cache_config.dtype": "workload.kv_cache_precision",
}
"""Keys of the file that a plan decides, also where it leaves them at their defaults -> where from."""

FREE = ("cache_transceiver_config", "disable_overlap_scheduler")
"""What a plan writes unless the user does."""

GRAPHS = "cuda_graph_config"
NARROW_COMBINE = "moe_config.use_low_precision_moe_combine"
SLOTS = "moe_config.load_balancer.num_slots"
"""Slots of experts of a layer, redundant copies among them."""


def file(config: Config) -> str | None:
    """The user's own file, on the cluster."""
    given = options(config.framework.args, dict.fromkeys(SPELLINGS, OPTION))
    return given.get(OPTION) or None


def keys(config: Config) -> dict[str, Any]:
    """Dotted key -> value that is no mapping; a value is YAML, as the file is. Raises ConfigError for one that the file cannot hold."""
    found: dict[str, Any] = {}
    for argument in config.framework.args:
        option, _, rest = argument.partition(".")
        if option in SPELLINGS and rest:
            key, _, text = rest.partition("=")
            found.update(leaves(key, _value(f"framework.args: {option}.{key}", text)))
    return found


def _value(what: str, text: str) -> Any:
    return plain.checked(what, yaml_mapping.read(what, "value:\n  " + text.replace("\n", "\n  ")).get("value"))


def others(config: Config) -> list[str]:
    """The arguments of the command line."""
    plain = without(config.framework.args, *SPELLINGS)
    return [argument for argument in plain if argument.partition(".")[0] not in SPELLINGS]


def redundant_experts(config: Config) -> int:
    """Copies that the slots of its load balancer have room for; no more than are ever placed, a rule refuses others."""
    slots, experts = copies.counted(keys(config).get(SLOTS)), config.model.num_experts
    return min(max((slots or 0) - experts, 0), experts * config.degrees.ep)


def graph_batch(config: Config) -> int | None:
    """Sequences up to which a CUDA graph is captured; None where it chooses them by `max_batch_size`."""
    found = keys(config)
    if GRAPHS in found and found[GRAPHS] is None:
        return 0
    sizes = found.get(f"{GRAPHS}.batch_sizes")
    several = sizes if isinstance(sizes, list) else [found.get(f"{GRAPHS}.max_batch_size")]
    return max((size for size in several if isinstance(size, int)), default=None)


def combine_bytes(config: Config) -> float | None:
    """Experts' outputs go back in FP8 where that is asked for; None for as wide as activations."""
    return 1.0 if keys(config).get(NARROW_COMBINE) is True else None


def laid_over(config: Config, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Our file with the user's keys in it. Raises ConfigError for every one that the plan decides in another way."""
    found, bad = dict(ours), []
    for key, value in keys(config).items():
        first, *rest = key.split(".")
        if not all([first, *rest]):
            bad.append(
                Problem(f"framework.args: {OPTION}.{key} sets no key", f"write {OPTION}.stream_interval=20, say")
            )
        elif first not in ours and (decided := _decided(key)):
            bad.append(Problem(f"framework.args sets {OPTION}.{key}, and so does the plan", f"write {decided}"))
        elif not _set(found, [first, *rest], value, fixed=first not in FREE):
            bad.append(
                Problem(
                    f"framework.args sets {OPTION}.{key}, and so does the plan",
                    "leave it out, and change the degree, model or workload that it comes from",
                )
            )
    if bad:
        raise ConfigError(bad)
    return found


def _decided(key: str) -> str | None:
    """The setting that a key of the file comes from."""
    return next((own for name, own in ELSEWHERE.items() if f"{key}.".startswith(f"{name}.")), None)


def _set(into: dict[str, Any], path: list[str], value: Any, *, fixed: bool) -> bool:
    """Whether a value could be put at a path: not over another one of the plan's."""
    key, *rest = path
    if rest:
        below = dict(into.get(key, {})) if isinstance(into.get(key, {}), dict) else None
        done = below is not None and _set(below, rest, value, fixed=fixed)
        into[key] = below if done else into[key]
        return done
    if fixed and key in into and into[key] != value:
        return False
    into[key] = value
    return True


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """Values that its documentation does not have; and of a file that nobody has read the costs know nothing."""
    said = keys(config)
    yield from choices.rules(config, source, said, sure=False)
    if SLOTS in said:
        where, fix = f"{source} modules/fused_moe/moe_load_balancer.py", f"leave {OPTION}.{SLOTS} out"
        yield from copies.rules(config, where, f"{OPTION}.{SLOTS}", said[SLOTS], fix, first=config.model.num_experts)
    found = file(config)
    if found is not None:
        yield warned(
            "tensorrt_llm-options-unread",
            observed=found,
            limit=f"{OPTION}.KEY=VALUE",
            message=f"{source} is started with {found} laid under the plan's own options, and what it says of memory and kernels is in no cost",
            fix=f"write its keys in framework.args, as in {OPTION}.kv_cache_config.free_gpu_memory_fraction=0.8",
        )
