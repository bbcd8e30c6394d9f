"""What inference servers make of memory by their defaults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.constants import OTHER_BYTES


@dataclass(frozen=True)
class Room:
    """What a server makes of memory: `share` of all is for weights, cache and `kept_bytes` (`of_all`), or for the cache
    alone what they leave. A request is let in where its prompt and `answered` of its answer fit.
    """

    share: float = 1.0
    of_all: bool = False
    kept_bytes: float = OTHER_BYTES["serve"]
    answered: float = 1.0

    def cache_bytes(self, capacity_bytes: float, weight_bytes: Array, other_bytes: Array | float) -> Array:
        """Bytes for the cache beside weights and `other_bytes`, 0 where there are none. A server that would have next to
        none is started with a larger share.
        """
        left = capacity_bytes - weight_bytes - other_bytes
        if not self.of_all:
            return np.maximum(self.share * left, 0.0)
        chosen = np.maximum(self.share * capacity_bytes - weight_bytes - self.kept_bytes, LEAST * capacity_bytes)
        return np.maximum(np.minimum(chosen, left), 0.0)


LEAST = 0.05
"""Share of all memory that the cache has at least, where `of_all` leaves less (0.95 instead of 0.82 in published scripts)."""

SERVERS = {
    "vllm": Room(0.92, of_all=True, answered=0.5),
    "sglang": Room(0.82, of_all=True, kept_bytes=0.0, answered=0.5),
    "tensorrt_llm": Room(0.9),
}
"""vLLM's gpu_memory_utilization (its `config/cache.py`), which has to do for activations too; SGLang's mem_fraction_static, of
weights and cache alone, as published scripts set it; TensorRT-LLM's free_gpu_memory_fraction. The first two take blocks as an
answer grows, so that answers are half way on average; the third lets a request in where all its answer fits."""
