"""Settings of a workload that its kind does not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from compiler.checks import Check, check
from compiler.costs.servers import SERVERS
from compiler.invariants.registry import declared
from compiler.specs.config import Config

OF_TRAINING = ("optimizer_offload", "activation_offload", "tokens", "dispatch", "overlapped_dispatch")
OF_SERVING = ("prefill_chunk", "draft_tokens", "two_batch_overlap", "low_latency_dispatch", "kv_cache_precision")


@declared
def without_effect(config: Config) -> Iterator[Check]:
    """A setting of the other kind of workload, or of experts where there are none, changes nothing."""
    workload = config.workload
    usual = {item.name: item.default for item in fields(workload)}
    idle = list(OF_SERVING if workload.train else OF_TRAINING)
    if not config.model.moe:
        idle += ["imbalance", "imbalance_exponent", "two_batch_overlap", "low_latency_dispatch"]
        idle += ["dispatch", "overlapped_dispatch"]
    for name in dict.fromkeys(idle):
        value = getattr(workload, name)
        if value != usual[name]:
            what = "training" if workload.train else "serving"
            yield check(
                "workload-setting",
                False,
                f"{name}={value}",
                f"{name}={usual[name]}",
                f"workload.{name}={value} has no effect on {what} {config.model.name}",
                f"leave workload.{name} out",
                otherwise="warn",
            )


@declared
def passes(config: Config) -> Iterator[Check]:
    """The inference servers are told of a workload's passes, or refuse them; other frameworks that serve are not asked."""
    workload, name = config.workload, config.framework.name
    usual = {item.name: item.default for item in fields(workload)}
    chosen = [key for key in OF_SERVING if getattr(workload, key) != usual[key]]
    if not workload.train and chosen and name not in ("none", *SERVERS):
        yield check(
            "serving-passes",
            False,
            name,
            ", ".join(SERVERS),
            f"costed, and not told to {name}: workload.{', workload.'.join(chosen)}",
            "give its own options in framework.args, or leave them out",
            otherwise="warn",
        )


@declared
def dispatch(config: Config) -> Iterator[Check]:
    """How tokens reach experts is costed for every framework, and asked of Megatron alone."""
    workload, name = config.workload, config.framework.name
    chosen = workload.dispatch != "alltoall" or workload.overlapped_dispatch
    if workload.train and config.model.moe and chosen and name not in ("none", "megatron"):
        yield check(
            "dispatch",
            False,
            name,
            "megatron",
            f"workload.dispatch={workload.dispatch} and overlapped_dispatch={str(workload.overlapped_dispatch).lower()} are "
            f"costed, but {name} is not told of them",
            "give its own options in framework.args, or leave both out",
            otherwise="warn",
        )
