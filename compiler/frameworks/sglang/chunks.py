"""Tokens of a pass of prompts where nobody says how many: by a GPU's memory, divided by the attention DP."""

from __future__ import annotations

from compiler.frameworks.asked import asked
from compiler.specs.config import Config

MIB = 1 << 20
CHUNKS = ((20 * 1024, 2048), (60 * 1024, 4096), (160 * 1024, 8192))
"""MiB below which a GPU has a chunk; any larger one has 16384 (`arg_groups/memory_hook.py handle_gpu_memory_settings`)."""
LARGEST = 16384


def own(config: Config) -> int:
    """SGLang's own chunk of one attention-DP rank (divided in `arg_groups/parallel_hook.py handle_data_parallelism`)."""
    memory = config.hardware.gpu.memory_bytes // MIB
    chunk = next((tokens for most, tokens in CHUNKS if memory < most), LARGEST)
    return chunk // config.degrees.adp


def chunk(config: Config) -> int:
    """Tokens of a pass: the plan's, else SGLang's own."""
    return asked(config).chunk or own(config)
