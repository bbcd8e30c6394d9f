"""Which warnings to read first: those that stop a job, then those that make it hang or slow, those that nobody may have meant, and
what is only less sure than it looks.
"""

from __future__ import annotations

from collections.abc import Iterable

from compiler.checks import Check, Status

ORDER = (
    *("memory", "cache-room", "launch-inputs", "framework-arguments", "unit", "slurm-image", "image"),
    *("ep-span", "nccl-device-names", "rdma", "gang", "order-unproven", "slurm-blocks", "shm", "memlock"),
    *("micro-batches", "empty-stages", "imbalance", "stages-uneven", "idle-gpus", "shared-nodes"),
)
"""Ids, the most harmful first; those that are not here follow."""
WEIGHTS = ("vllm-weights", "sglang-weights", "tensorrt_llm-weights")
"""A server that finds none where it is told to look: as harmful as an image that lacks what runs."""
UNSURE = ("measured", "framework-uncosted", "framework-version", "framework-untold", "draft-tokens", "graph-sizes")
"""What makes a figure less sure, and changes nothing that runs; `declared-*` is of them."""


def worst(checks: Iterable[Check]) -> list[Check]:
    """Those that did not pass, the most harmful first; the others in the order of their rules."""
    return sorted((check for check in checks if check.status is not Status.PASS), key=_harm)


def _harm(check: Check) -> tuple[bool, int]:
    own = check.id.rpartition(".")[2]  # of a pool's check
    if own in ORDER:
        place = ORDER.index(own)
    elif own in WEIGHTS:
        place = ORDER.index("image")
    elif own in UNSURE or own.startswith("declared-"):
        place = len(ORDER) + 1
    else:
        place = len(ORDER)
    return check.status is not Status.FAIL, place
