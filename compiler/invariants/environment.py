"""Variables of ranks that change memory or time: what the plan reads of them, and what it does not follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from compiler.checks import Check, Status, check
from compiler.costs.comm import buffers
from compiler.errors import short
from compiler.invariants.registry import declared
from compiler.specs.config import Config

_TIMES = "times of collectives"

UNFOLLOWED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "NCCL_NVLS_ENABLE": ("buffers for sums in NVSwitch, and times of collectives", ("1", "2")),
    "NCCL_CUMEM_ENABLE": ("how buffers of communicators are allocated", ("1",)),
    "NCCL_ALGO": (_TIMES, ()),
    "NCCL_PROTO": (_TIMES, ()),
    "NCCL_P2P_DISABLE": (_TIMES, ("0",)),
    "NCCL_IB_DISABLE": (_TIMES, ("0",)),
    **dict.fromkeys(
        ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF"),
        ("what the allocator reserves beyond what is allocated", ("expandable_segments:True",)),
    ),
}
"""Variable -> what it changes, and the values with which the plan is as it is without it: NCCL's usual ones, and an allocator
without the fragments that the plan does not count.
"""


@declared("environment-uncosted")
def uncosted(config: Config) -> Iterator[Check]:
    """One warning for all of them; nothing where none is set."""
    said = {name: value for name, value in config.environment.items() if name in UNFOLLOWED}
    found = {name: value for name, value in said.items() if value not in UNFOLLOWED[name][1]}
    listed = "; ".join(f"{_key(config, name)}={short(value)} ({UNFOLLOWED[name][0]})" for name, value in found.items())
    if said:
        yield check(
            holds=not found,
            observed=", ".join(found) or "none",
            limit="variables that costs follow",
            message=f"memory and times of the plan are those without {listed or 'more than usual variables'}",
            fix="leave them out, or take both as those of a run without",
            otherwise=Status.WARN,
        )


@declared("nccl-numbers")
def numbers(config: Config) -> Iterator[Check]:
    """NCCL passes over a number that is none, and so does the plan."""
    for name in buffers.COUNTED:
        value = config.environment.get(name)
        if value is not None:
            yield check(
                holds=buffers.read(config.environment, name) is not None,
                observed=value,
                limit="a whole number above 0",
                message=f"{_key(config, name)}={short(value) or '(empty)'} is no whole number above 0; NCCL takes its own",
                fix=f"write a number, or leave {name} out",
                otherwise=Status.WARN,
            )


@declared("nccl-channels")
def channels(config: Config) -> Iterator[Check]:
    """NCCL lets the most of both decide (src/graph/connect.cc), and so does the plan."""
    for least, most in product(buffers.LEAST, buffers.MOST):
        low, high = (buffers.read(config.environment, name) for name in (least, most))
        if low is not None and high is not None:
            yield check(
                holds=low <= high,
                observed=f"{low}",
                limit=f"{high}",
                message=f"{_key(config, least)}={low}, and {_key(config, most)}={high}: communicators have {high} channels at most",
                fix=f"write {least} of {high} or less, or leave {least} out",
                otherwise=Status.WARN,
            )


def _key(config: Config, name: str) -> str:
    return f"{'launch' if name in config.launch.environment else 'site'}.environment.{name}"
