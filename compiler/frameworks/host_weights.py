"""Weights that a server leaves in its host's memory."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.words import finite

OPTION = "--cpu-offload-gb"
"""GiB of each GPU's weights (vLLM config/offload.py, SGLang srt/utils/offloader.py): parameters as they come, to the last that
begins below it. A pass copies them from there, or reads them there.
"""


def host_bytes(given: Mapping[str, str]) -> float:
    """Bytes of a rank; 0 for what is no finite number, which the server refuses itself."""
    return max(finite(given.get(OPTION, "")) or 0.0, 0.0) * 2.0**30
