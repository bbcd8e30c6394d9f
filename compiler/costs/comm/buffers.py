"""Device memory of one communicator, by what variables tell NCCL: channels x connections of each x a buffer for each protocol.

Memory is linear in channels (NVIDIA/nccl issue 986), and a connection has one buffer of each protocol (src/include/device.h).
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.costs.constants import BUFFERS_BYTES, NCCL_CHANNELS, PROTOCOL_BYTES
from compiler.words import whole

MOST = ("NCCL_MAX_NCHANNELS", "NCCL_MAX_CTAS")
LEAST = ("NCCL_MIN_NCHANNELS", "NCCL_MIN_CTAS")
MOST_CHANNELS = 64
"""What no communicator exceeds (NCCL 2.23 and later, MAXCHANNELS)."""

COUNTED = (*PROTOCOL_BYTES, *MOST, *LEAST)
"""Variables that are read here, all of them whole numbers above 0."""


def read(environment: Mapping[str, str], name: str) -> int | None:
    """A variable's number; None where it is not set, or is none, which NCCL passes over."""
    found = whole(environment.get(name, ""))
    return found if found is not None and found > 0 else None


def buffer_bytes(environment: Mapping[str, str]) -> float:
    """Bytes of one communicator. Where both bounds are set the least number of channels gives way to the most."""
    sizes = [read(environment, name) or usual for name, usual in PROTOCOL_BYTES.items()]
    most = [found for name in MOST if (found := read(environment, name))]
    least = [found for name in LEAST if (found := read(environment, name))]
    channels = min([max([NCCL_CHANNELS, *least]), *most, MOST_CHANNELS])
    return BUFFERS_BYTES * (channels / NCCL_CHANNELS) * (sum(sizes) / sum(PROTOCOL_BYTES.values()))
