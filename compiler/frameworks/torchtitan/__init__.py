"""torchtitan: DeviceMeshes unflattened from one row of ranks, and FSDP over what is left of them."""

from __future__ import annotations

from compiler.frameworks.torchtitan.adapter import Torchtitan

ADAPTER = Torchtitan()
