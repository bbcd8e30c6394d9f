"""vLLM: pipeline stages lie inside a data-parallel replica, and experts spread over all of them or not at all."""

from __future__ import annotations

from compiler.frameworks.vllm.layout import VllmAdapter

ADAPTER = VllmAdapter()
