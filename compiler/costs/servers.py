"""What inference servers make of memory, by their defaults or as their arguments say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.constants import OTHER_BYTES
from compiler.specs.config import Framework


@dataclass(frozen=True)
class Room:
    """What a server makes of memory: `share` of all is for weights, cache and `kept_bytes` (`of_all`), or for the cache
    alone what they leave; a server that would have less than `least` of all for its cache is started with a larger share.
    A request is let in where its prompt and `answered` of its answer fit. `option` sets the share.
    """

    option: str = ""
    share: float = 1.0
    of_all: bool = False
    kept_bytes: float = OTHER_BYTES["serve"]
    answered: float = 1.0
    least: float = 0.0

    def cache_bytes(self, capacity_bytes: float, weight_bytes: Array, other_bytes: Array | float) -> Array:
        """Bytes for the cache beside weights and `other_bytes`, 0 where there are none."""
        left = capacity_bytes - weight_bytes - other_bytes
        if not self.of_all:
            return np.maximum(self.share * left, 0.0)
        chosen = np.maximum(self.share * capacity_bytes - weight_bytes - self.kept_bytes, self.least * capacity_bytes)
        return np.maximum(np.minimum(chosen, left), 0.0)


WHOLE = Room()
"""All the memory, where no server takes a part."""

LEAST = 0.05
"""Weights that leave less of the memory than this raise a server's share (0.95 instead of 0.82 in published scripts)."""

SERVERS = {
    "vllm": Room("--gpu-memory-utilization", 0.92, of_all=True, answered=0.5, least=LEAST),
    "sglang": Room("--mem-fraction-static", 0.82, of_all=True, kept_bytes=0.0, answered=0.5, least=LEAST),
    "tensorrt_llm": Room("--kv-cache-free-gpu-memory-fraction", 0.9),
}
"""vLLM's gpu_memory_utilization (its `config/cache.py`), which has to do for activations too; SGLang's mem_fraction_static, of
weights and cache alone, as published scripts set it and about what its own rule comes to; TensorRT-LLM's
free_gpu_memory_fraction. The first two take blocks as an answer grows, so that answers are half way on average; the third lets
a request in where all its answer fits."""


IN_FILE = ".kv_cache_config.free_gpu_memory_fraction"
"""TensorRT-LLM's share as a key of its options file."""


def room(framework: Framework) -> Room | None:
    """That of a plan's server, with the share that its arguments ask for; None where it is no server."""
    found = SERVERS.get(framework.name)
    for word, after in pairwise([*framework.args, ""]):
        name, given, value = word.partition("=")
        if found and (name.replace("_", "-") == found.option or name.endswith(IN_FILE)):
            found = _told(found, value if given else after)
    return found


def _told(usual: Room, text: str) -> Room:
    """With a share that somebody chose; the usual one where it is none, which the server will refuse."""
    try:
        share = float(text)
    except ValueError:
        return usual
    return replace(usual, share=share, least=0.0) if 0 < share <= 1 else usual
