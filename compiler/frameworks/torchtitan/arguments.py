"""What `framework.args` say to torchtitan: its parser takes - and _ alike, and `no_` before a switch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from compiler.frameworks.emission import flags, is_flag
from compiler.frameworks.options import number, options
from compiler.frameworks.told import Key, Said, read, words
from compiler.frameworks.versions import version
from compiler.specs.config import Config

REPLICATE = "--parallelism.data_parallel_replicate_degree"
FIRST_LESS = "--parallelism.pipeline_parallel_first_stage_less_layers"
LAST_LESS = "--parallelism.pipeline_parallel_last_stage_less_layers"
BACKEND = "--parallelism.spmd_backend"
RESHARD = "--parallelism.fsdp_reshard_after_forward"
MODULES = "--parallelism.module_fqns_per_model_part"
UNDERSTOOD = (REPLICATE, FIRST_LESS, LAST_LESS, BACKEND, RESHARD)
"""Options that a user may set where the plan would: they shape the plan instead."""

KEYS = {f"activation_checkpoint:{name}": Key("recompute", {"": name}) for name in ("none", "selective", "full")}
"""Words of its parser that say what a key of the workload says."""

DECIDED = [
    f"--parallelism.{name}"
    for name in (
        "pipeline_parallel_schedule pipeline_parallel_schedule_csv pipeline_parallel_layers_per_stage "
        "pipeline_parallel_microbatch_size"
    ).split()
]
"""Options that a plan decides, also where it leaves them at their defaults."""


def spelling(flag: str) -> str:
    """An option as this package writes it."""
    section, dot, name = flag[2:].replace("-", "_").rpartition(".")
    return f"--{section}{dot}{name.removeprefix('no_')}"


def spellings(arguments: Iterable[str]) -> dict[str, str]:
    """Option as written -> as this package writes it."""
    return {flag: spelling(flag) for flag in flags(tuple(arguments))}


def given(config: Config) -> dict[str, str]:
    """Option -> value of `framework.args`."""
    arguments = config.framework.args
    return options(arguments, spellings(arguments))


def named(config: Config) -> list[list[str]]:
    """The modules of each virtual stage, where `framework.args` name them: a word a stage, separated by commas."""
    found: list[str] = []
    taking = False
    for word in config.framework.args:
        if is_flag(word):
            flag, _, value = word.partition("=")
            taking = spelling(flag) == MODULES
            found = [value] * bool(value) if taking else found
        elif taking:
            found.append(word)
    return [word.split(",") for word in found]


def written(config: Config) -> list[Said]:
    """Options as its table spells them; subcommands, `--module` and `--config` are read apart."""
    said = words(config.framework.args, lambda word: is_flag(word) or ":" in word)
    return [
        replace(item, name=spelling(item.name))
        for item in said
        if is_flag(item.name) and item.name not in ("--module", "--config")
    ]


def told(config: Config) -> Config:
    """Raises ConfigError."""
    said = words(config.framework.args, lambda word: is_flag(word) or ":" in word)
    return read(config, KEYS, (replace(item, name=spelling(f"--{item.name}")[2:]) for item in said))


def replicas(config: Config) -> int:
    """dp_replicate: copies of the sharded parameters. All of adp (DDP) where nothing of the optimizer is sharded."""
    whole = config.degrees.adp if config.workload.zero_stage == 0 and not config.workload.distributed_optimizer else 1
    return number(given(config), REPLICATE, whole)


def backend(config: Config) -> str:
    return given(config).get(BACKEND, str(version(config).facts["spmd_backend"]))


def known_model(config: Config) -> Mapping[str, Any] | None:
    """The row of `versions.yaml` with this architecture; None where there is none, or the user names a config."""
    if "--config" in given(config):
        return None
    model = config.model
    shape = {
        "layers": model.num_hidden_layers,
        "hidden": model.hidden_size,
        "heads": model.num_attention_heads,
        "kv_heads": model.kv_heads,
        "vocab": model.vocab_size,
        "experts": model.num_experts,
        "ffn": 0 if all(model.moe_layers) else model.intermediate_size,
        "expert": model.expert_size if model.moe else 0,
        "topk": model.num_experts_per_tok,
        "shared": model.shared_size if model.moe else 0,
    }
    rows: list[Mapping[str, Any]] = version(config).facts["models"]
    return next((row for row in rows if all(row.get(key, 0) == value for key, value in shape.items())), None)
