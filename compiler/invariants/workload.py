"""Settings of a workload that its kind does not have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any

from compiler.checks import Check, Status, check, warned
from compiler.costs.constants import SAVED_BYTES
from compiler.frameworks.adapter import adapter, servers
from compiler.invariants.registry import declared
from compiler.render.assets import folder
from compiler.specs.config import Config
from compiler.specs.states import States
from compiler.specs.workload import Workload

OF_TRAINING = (
    *("sequence_length", "recompute", "distributed_optimizer", "zero_stage", "optimizer_offload", "activation_offload"),
    *(
        "recompute_modules",
        "offload_modules",
        "lora_rank",
        "states",
        "wide_layers",
        "optimizer",
        "cuda_graphs",
        "schedule",
        "dispatch",
        "overlapped_dispatch",
        "overlapped_shared_experts",
        "delayed_weight_gradients",
        "muon_steps",
        "fused_attention",
        "fused_accumulation",
    ),
    *("tokens", "gpu_mtbf_s", "checkpoint_s", "checkpoint_interval_s", "restart_s"),
)
OF_PASSES = (
    "prefix_share",
    "prefill_chunk",
    "draft_tokens",
    "two_batch_overlap",
    "low_latency_dispatch",
    "kv_cache_precision",
)
OF_SERVING = ("sequence_lengths", "output_length", *OF_PASSES, "draft_acceptance")
"""Keys of one kind of workload alone; whatever is in neither list changes both (`pools` have a rule of their own)."""

OF_EXPERTS = (
    "imbalance",
    "imbalance_exponent",
    "two_batch_overlap",
    "low_latency_dispatch",
    "dispatch",
    "overlapped_dispatch",
    "overlapped_shared_experts",
    "delayed_weight_gradients",
)

NEEDS = {
    "draft_acceptance": "draft_tokens",
    "checkpoint_s": "gpu_mtbf_s",
    "checkpoint_interval_s": "gpu_mtbf_s",
    "restart_s": "gpu_mtbf_s",
}
"""Keys that say more of another one, and nothing where that one is left out."""


@declared("workload-setting")
def without_effect(config: Config) -> Iterator[Check]:
    """A setting of the other kind of workload, of experts where there are none, or of another setting that is not made."""
    workload, name = config.workload, config.model.name
    kind, other = ("training", "serve") if workload.train else ("serving", "train")
    idle = dict.fromkeys(OF_SERVING if workload.train else OF_TRAINING, f"{kind} {name}")
    if not config.model.moe:
        idle |= dict.fromkeys(OF_EXPERTS, f"{kind} {name}")
        if config.experts.load is not None:
            yield _idle("experts.load", "a file", "none", f"{kind} {name}, which has no experts")
    for key, needed in NEEDS.items():
        if not getattr(workload, needed):
            idle.setdefault(key, f"anything without workload.{needed}")
    for key, (told, what) in _needing(config).items():
        if not told:
            idle.setdefault(key, what)
    usual, shipped = defaults(), _shipped(config, other)
    for key, what in idle.items():
        value = getattr(workload, key)
        if value != usual[key] and key not in shipped:
            yield _idle(f"workload.{key}", _text(value), _text(usual[key]), what)


def _needing(config: Config) -> dict[str, tuple[bool, str]]:
    """Keys of training that need another one's value, or a part of the model: whether it is so, and what has no use for them."""
    workload, model = config.workload, config.model
    return {
        "recompute_modules": (workload.recompute == "selective", f"workload.recompute={workload.recompute}"),
        "muon_steps": (workload.optimizer == "muon", f"workload.optimizer={workload.optimizer}"),
        "overlapped_shared_experts": (model.shared_size > 0, f"{model.name}, which has no shared experts"),
        "delayed_weight_gradients": (workload.overlapped_dispatch, "anything without workload.overlapped_dispatch"),
        "wide_layers": (workload.precision in SAVED_BYTES, f"workload.precision={workload.precision}"),
    }


def _idle(key: str, value: str, usual: str, what: str) -> Check:
    said = f"{key.removeprefix('workload.')}={value}"
    limit = f"{key.removeprefix('workload.')}={usual}"
    return warned(
        observed=said,
        limit=limit,
        message=f"{key}={value} has no effect on {what}",
        fix=f"leave {key} out",
    )


def _text(value: Any) -> str:
    return str(value.changed if isinstance(value, States) else value).replace(" ", "").replace("'", "")


def defaults() -> dict[str, Any]:
    """Of every key of a workload."""
    return {
        item.name: item.default_factory() if callable(item.default_factory) else item.default
        for item in fields(Workload)
    }


def _shipped(config: Config, kind: str) -> set[str]:
    """Keys whose values are those of the file that we ship for the other kind, from which only `kind` was changed: two of
    them at least, for one may be a user's own.
    """
    usual, file = defaults(), _file(kind)
    own = {
        key for key, value in file.items() if key in usual and value != usual[key] and key not in ("kind", "assumed")
    }
    idle = own & {*OF_TRAINING, *OF_SERVING}
    same = {key for key in idle if getattr(config.workload, key) == file[key]}
    return same if len(same) > 1 else set()


@cache
def _file(kind: str) -> dict[str, Any]:
    import yaml

    text = (folder("conf") / "workload" / f"{kind}.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return {key: float(value) if key.endswith("_s") else value for key, value in found.items()}


@declared("serving-passes")
def passes(config: Config) -> Iterator[Check]:
    """The inference servers are told of a workload's passes, or refuse them; other frameworks that serve are not asked."""
    workload, name = config.workload, config.framework.name
    usual = defaults()
    chosen = [key for key in OF_PASSES if getattr(workload, key) != usual[key]]
    if not workload.train and chosen and name != "none" and not adapter(name).serves:
        yield warned(
            observed=name,
            limit=", ".join(servers()),
            message=f"costed, and not told to {name}: workload.{', workload.'.join(chosen)}",
            fix="give its own options in framework.args, or leave them out",
        )


RARELY = 0.01
"""A draft that fewer steps keep costs its verification and gives nothing; a draft counts only where all before it are kept."""


@declared()
def drafts(config: Config) -> Iterator[Check]:
    """Drafts that next to no step keeps."""
    workload = config.workload
    count, each = workload.draft_tokens, workload.draft_acceptance
    if workload.train or not count or each >= 1:
        return
    useful = max(int(math.log(RARELY) / math.log(each)), 1) if each > 0 else 0
    kept = (1 - each ** (count + 1)) / (1 - each)
    yield check(
        "draft-tokens",
        holds=count <= useful,
        observed=f"{count} drafts",
        limit=f"{useful}",
        message=f"{count} tokens are drafted by each step and {each:g} of them accepted, one after the other: a step keeps {kept:.2f}"
        + ("" if count <= useful else f", and what follows the first {useful} is kept by less than 1 of 100 steps"),
        fix=f"write workload.draft_tokens={useful}, or workload.draft_acceptance as it was measured",
        otherwise=Status.WARN,
    )


@declared("dispatch")
def dispatch(config: Config) -> Iterator[Check]:
    """How tokens reach experts is costed for every framework, and asked of Megatron alone."""
    workload, name = config.workload, config.framework.name
    chosen = workload.dispatch != "alltoall" or workload.overlapped_dispatch
    if workload.train and config.model.moe and chosen and name not in ("none", "megatron"):
        yield warned(
            observed=name,
            limit="megatron",
            message=f"workload.dispatch={workload.dispatch} and overlapped_dispatch={str(workload.overlapped_dispatch).lower()} are "
            f"costed, but {name} is not told of them",
            fix="give its own options in framework.args, or leave both out",
        )
