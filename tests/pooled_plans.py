"""Overrides that make plans for prefill and decode."""

from __future__ import annotations

from tests.command import BARE

ON = [BARE, "model=qwen3_30b_a3b", "hardware=h100_80gb", "hardware.nodes=3"]
POOLS = "workload.pools={prefill: {parallel: tp4, instances: 4}, decode: {parallel: ep8}}"


def pools(prefill: str = "parallel: tp4, instances: 4", decode: str = "parallel: ep8") -> str:
    return f"workload.pools={{prefill: {{{prefill}}}, decode: {{{decode}}}}}"
