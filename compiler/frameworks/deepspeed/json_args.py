"""`framework.args`: `--json.<key>.<key>=<value>` goes into DeepSpeed's JSON, the rest to the user's program."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from compiler.errors import ConfigError, Problem
from compiler.frameworks import owned
from compiler.frameworks.told import Key, Said, inside
from compiler.inputs import plain
from compiler.specs.config import Config

PREFIX = "--json."

PLANNED = frozenset(
    {
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "zero_optimization.stage",
        "bf16.enabled",
        "bfloat16",
        "fp16.enabled",
        "use_data_before_expert_parallelism",
        "expert_parallel.enabled",
        "expert_parallel.autoep_size",
        "expert_parallel.expert_tensor_parallel_size",
        "tensor_parallel.autotp_size",
        "tensor_parallel.tp",
        "pipeline.activation_checkpoint_interval",
        "sequence_parallel_size",
        "data_parallel_size",
    }
)
"""Keys that the plan decides, whether they are written or left to DeepSpeed's default."""

_ASKED: Mapping[str, str] = {
    "zero_optimization.offload_optimizer.device": "optimizer_offload",
    "zero_optimization.offload_optimizer.ratio": "optimizer_offload",
    "zero_optimization.cpu_offload": "optimizer_offload",
    "activation_checkpointing.cpu_checkpointing": "activation_offload",
}
"""Keys that are the user's until the workload sends something to the host."""

KEYS = {f"{PREFIX}data_types.grad_accum_dtype": Key("states.gradients", {"fp32": "fp32", "bf16": "bf16"})}
"""Keys that say what a key of the workload says."""

UNPLANNED = "zero_optimization.mics_shard_size"
"""MiCS has shard and replica groups of its own; DeepSpeed itself dropped it in 0.19.8."""


def given(config: Config) -> dict[str, Any]:
    """Dotted key -> value; a value is JSON where it can be read so, else text. Raises ConfigError."""
    found: dict[str, Any] = {}
    bad: list[Problem] = []
    for argument in config.framework.args:
        if argument.startswith(PREFIX):
            key, equals, text = argument.removeprefix(PREFIX).partition("=")
            if not equals or not all(key.split(".")):
                bad.append(
                    Problem(f"framework.args: {argument} sets no key", f"write {PREFIX}gradient_clipping=1.0, say")
                )
            found[key] = plain.checked(f"framework.args: {PREFIX}{key}", _value(text))
    if bad:
        raise ConfigError(bad)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def written(config: Config) -> Iterator[Said]:
    """Keys of the JSON with their values, as the table of its configuration spells them; `auto` is as if it were left out."""
    for name, value in given(config).items():
        for item in inside(f"{PREFIX}{name}", value):
            if item.values != ("{}",):
                yield replace(item, values=tuple("null" if text == "auto" else text for text in item.values))


OWNED = {
    f"{PREFIX}train_batch_size": "workload.global_batch_size",
    f"{PREFIX}train_micro_batch_size_per_gpu": "workload.micro_batch_size",
    f"{PREFIX}zero_optimization.stage": "workload.zero_stage",
    f"{PREFIX}tensor_parallel.autotp_size": "parallel.tp",
    f"{PREFIX}expert_parallel.autoep_size": "parallel.ep",
    f"{PREFIX}sequence_parallel_size": "parallel.cp",
}
"""Keys of the JSON, and the key that each comes from."""


def others(config: Config) -> list[str]:
    """The arguments of the user's program."""
    return [argument for argument in config.framework.args if not argument.startswith(PREFIX)]


def laid_over(config: Config, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Our JSON with the user's keys in it. Raises ConfigError for every key that the plan decides."""
    found: dict[str, Any] = copy.deepcopy(dict(ours))
    bad: list[Problem] = []
    for key, value in given(config).items():
        clashes = sorted(_decided(planned(config), key, value))
        if UNPLANNED in _leaves(key, value):
            bad.append(
                Problem(f"framework.args sets {PREFIX}{UNPLANNED}, whose groups are not planned", "leave it out")
            )
        elif clashes:
            names = [f"{PREFIX}{clashes[0]}", *clashes[1:]]
            bad += owned.problems(names, OWNED, {names[0]: str(value)})
        elif not _set(found, key.split("."), value):
            bad.append(
                Problem(f"framework.args: {PREFIX}{key} goes into a value that is no mapping", "write its key whole")
            )
    if bad:
        raise ConfigError(bad)
    return found


def planned(config: Config) -> frozenset[str]:
    """Keys that this plan decides."""
    workload = config.workload
    return PLANNED | {key for key, name in _ASKED.items() if workload.train and getattr(workload, name)}


def _decided(plan: frozenset[str], key: str, value: Any) -> set[str]:
    """The keys of the plan that a user's key sets, lies inside of, or puts a plain value in the place of."""
    inside = {name for name in plan if key.startswith(f"{name}.")}
    around = set() if isinstance(value, Mapping) else {name for name in plan if name.startswith(f"{key}.")}
    return inside | around | plan.intersection(_leaves(key, value))


def _leaves(key: str, value: Any) -> Iterator[str]:
    """The dotted keys that a value sets, one that is a mapping included."""
    yield key
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)


def _set(target: dict[str, Any], path: list[str], value: Any) -> bool:
    """Set a nested value, merging mappings; False where the path runs into one that is no mapping."""
    head, *rest = path
    if not rest and isinstance(value, Mapping):
        return all(_set(target, [head, name], inner) for name, inner in value.items())
    if not rest:
        target[head] = value
        return True
    inner = target.setdefault(head, {})
    return isinstance(inner, dict) and _set(inner, rest, value)


def nested(config: Config, key: str) -> Any:
    """What the user gives for a dotted key of the JSON, None where nothing is given."""
    value: Any = {}
    for name, inner in given(config).items():
        _set(value, name.split("."), inner)
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def secondary_partition(config: Config) -> int:
    """ZeRO++ hpZ: ranks that share a second copy of the parameters; 1 where it is off."""
    size = nested(config, "zero_optimization.zero_hpz_partition_size")
    return min(size, config.degrees.world_size) if isinstance(size, int) and size > 0 else 1


def quantized_gradients(config: Config) -> bool:
    """ZeRO++ qgZ: gradients go by all-to-all within a node and then across nodes."""
    return nested(config, "zero_optimization.zero_quantized_gradients") is True
