"""How TensorRT-LLM is started: `trtllm-serve`, and a file for what it has no option for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from compiler.cluster.share import share
from compiler.expert_map import ExpertMap, expert_map
from compiler.frameworks.asked import asked, sequences
from compiler.frameworks.emission import Argument, Computed, Emission, is_flag, merged
from compiler.frameworks.options import options as given
from compiler.frameworks.router import Router
from compiler.frameworks.serving import context_length, default_weights, http_flag, http_host, http_port
from compiler.frameworks.tensorrt_llm import file_args
from compiler.frameworks.tensorrt_llm.layout import Sizes, sizes, stages
from compiler.frameworks.versions import version
from compiler.render.artifacts import Artifact
from compiler.render.yaml import document
from compiler.specs.config import Config
from compiler.world import World

FILE = "framework/llm_api.yaml"
MERGE = "framework/merge_options.py"

ALIASES = {
    "--tensor_parallel_size": "--tp_size",
    "--pipeline_parallel_size": "--pp_size",
    "--moe_expert_parallel_size": "--ep_size",
    "--context_parallel_size": "--cp_size",
    "--config": "--extra_llm_api_options",
}
"""Other spellings of its options."""

DECIDED = ("--tp_size", "--pp_size", "--ep_size", "--cp_size", "--cluster_size", "--moe_cluster_parallel_size")
"""Options that a plan decides, also where it leaves them at their defaults."""

KEYS = {
    "--tp_size": "parallel.tp",
    "--pp_size": "parallel.pp",
    "--ep_size": "parallel.ep",
    "--cp_size": "parallel.cp",
    "--max_batch_size": "workload.global_batch_size",
    "--max_seq_len": "workload.sequence_lengths",
}
"""Options of ours, and the key that each comes from."""

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
FIRST_PORT = 8000
"""Where it serves, unless it is told."""
HOST = "--host"
"""Without it trtllm-serve listens on localhost (`tensorrt_llm/commands/serve.py`)."""

DEFAULT_NUM_TOKENS = 8192
"""Tokens of a forward pass where none are asked for; without chunked prefill, no prompt may be longer."""


ROUTER = (
    'printf "%s\\n" "hostname: 0.0.0.0" "port: {port}" "backend: pytorch" '
    '"context_servers: {{num_instances: {prefills}, urls: [{prefill}]}}" '
    '"generation_servers: {{num_instances: {decodes}, urls: [{decode}]}}" >disagg.yaml '
    "&& trtllm-serve disaggregated -c disagg.yaml"
)
"""Its own, told where servers are by a file (examples/disaggregated/disagg_config.yaml)."""


def emission(world: World) -> Emission:
    """A process a rank in one MPI world; on a single node one process that starts the others itself."""
    config, found = world.config, sizes(world.config)
    if found is None:  # refused by its rules
        return Emission()
    several = spans_nodes(config)
    return Emission(
        program=(*["trtllm-llmapi-launch"] * several, *_merging(config), "trtllm-serve"),
        arguments=_arguments(config, found),
        files=tuple(_files(world, found)),
        unit="rank" if several else "node",
        mpi="pmix" if several else None,
        http_port=http_port(config, FIRST_PORT, 1),
        http_host=http_host(config),
        router=Router(ROUTER, "{address}", "{address}", joint=","),
    )


def _merging(config: Config) -> tuple[Argument, ...]:
    """The program around it that makes one options file of the plan's and the user's."""
    own = file_args.file(config)
    return () if own is None else ("python3", Computed(f"{{RANKPLAN_PLAN}}/{MERGE}"), own)


def _files(world: World, found: Sizes) -> Iterator[Artifact]:
    config = world.config
    chosen = options(config, found)
    if world.experts.by_layer and (placed := expert_map(world)) is not None:
        chosen["moe_config"] = {"load_balancer": load_balancer(placed)}
    yield Artifact(FILE, "---\n" + document(file_args.laid_over(config, chosen)))
    if file_args.file(config) is not None:
        yield Artifact(MERGE, Path(__file__).with_name("merge_options.py").read_text(encoding="utf-8"))


def load_balancer(experts: ExpertMap) -> dict[str, Any]:
    """A static one (`modules/fused_moe/moe_load_balancer.py`): what starts in each slot, and stays there."""
    rows = zip(experts.layers, experts.balance.slots.tolist(), strict=True)
    return {"num_slots": len(experts.before), "layer_updates_per_iter": 0, "initial_global_assignments": dict(rows)}


def spans_nodes(config: Config) -> bool:
    """Whether an instance needs more than one node."""
    return share(config).nodes > 1


def weights(config: Config) -> str | None:
    """The model that `framework.args` name: its first word, where that is no option."""
    args = config.framework.args
    return args[0] if args and not is_flag(args[0]) else None


def _arguments(config: Config, found: Sizes) -> tuple[Argument, ...]:
    """Options that the plan decides; batches are a scheduler's, of which each attention DP rank has one."""
    numbers = {
        "--tp_size": found.tp,
        "--pp_size": found.pp,
        **({"--ep_size": found.moe_ep} if config.model.moe else {}),
        "--gpus_per_node": share(config).ranks,
        "--max_batch_size": sequences(config),
        "--max_num_tokens": pass_tokens(config),
        "--max_seq_len": context_length(config),
    }
    ours: list[Argument] = [] if weights(config) else [default_weights(config)]
    ours += [word for name, value in numbers.items() for word in (name, str(value))]
    ours += [HOST, http_host(config)] if HOST not in given(config.framework.args) else []
    ours += ["--extra_llm_api_options", Computed(f"{{RANKPLAN_PLAN}}/{FILE}"), *http_flag(config, FIRST_PORT, 1)]
    own = replace(config, framework=replace(config.framework, args=file_args.others(config)))
    return merged(own, ours, aliases=ALIASES, decided=DECIDED, keys=KEYS)


def pass_tokens(config: Config) -> int:
    """Tokens of a forward pass: of a chunk, or of the longest prompt."""
    return asked(config).chunk or max(DEFAULT_NUM_TOKENS, config.workload.longest)


def _passes(config: Config) -> dict[str, Any]:
    """Chunks of prompts, drafts of the model's own layers, and a narrow cache (`tensorrt_llm/llmapi/llm_args.py`)."""
    wanted, field = asked(config), str(version(config).facts["drafts"])
    chosen: dict[str, Any] = {"enable_chunked_prefill": True} if wanted.chunk is not None else {}
    if wanted.drafts:
        chosen["speculative_config"] = {"decoding_type": "MTP", field: wanted.drafts}
    if wanted.cache == "fp8":
        chosen["kv_cache_config"] = {"dtype": "fp8"}
    return chosen


def options(config: Config, found: Sizes) -> dict[str, Any]:
    """The LLM API's own names for the rest; what stays at its default is left out."""
    chosen: dict[str, Any] = {"dtype": DTYPES.get(config.workload.precision, "auto")}
    if config.model.moe:
        chosen["moe_tensor_parallel_size"] = found.moe_tp
    chosen["enable_attention_dp"] = found.attention_dp
    if found.cp > 1:
        chosen |= {"context_parallel_size": found.cp, "cp_config": {"cp_type": version(config).facts["cp_type"]}}
    if config.workload.role is not None:
        chosen["cache_transceiver_config"] = {"backend": "DEFAULT", "max_tokens_in_buffer": config.workload.longest}
    if config.workload.role == "prefill":
        chosen["disable_overlap_scheduler"] = True
    if config.parallel.stages and list(config.parallel.stages) != default_stages(config):
        chosen["pp_partition"] = list(config.parallel.stages)
    return chosen | _passes(config)


def default_stages(config: Config) -> list[int]:
    return list(stages(config.model.num_hidden_layers, config.parallel.pp))
