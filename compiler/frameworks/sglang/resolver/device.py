"""A GPU that is not there, at the outermost edge: what torch says of its devices, and what the tools of their makers print."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from importlib import import_module
from types import SimpleNamespace
from typing import Any

MIB = 1 << 20
CUDA, ROCM = "13.0", "7.0.0"
"""Versions of toolkits that releases of SGLang are built for; its rules ask for 12.8 or later, and 12.3."""


def pretend(device: Mapping[str, Any]) -> None:
    """Make torch and `nvidia-smi` speak of the device: `name`, `capability`, `arch` (AMD's, else empty), `memory_bytes`, `count`."""
    torch = import_module("torch")
    torch.version.cuda, torch.version.hip = (None, ROCM) if device["arch"] else (CUDA, None)
    capability, memory = tuple(device["capability"]), int(device["memory_bytes"])
    properties = SimpleNamespace(
        name=device["name"],
        major=capability[0],
        minor=capability[1],
        total_memory=memory,
        gcnArchName=device["arch"],
        multi_processor_count=132,
        warp_size=32,
        is_integrated=False,
        uuid="0",
    )
    answers = {
        "is_available": True,
        "is_initialized": True,
        "device_count": device["count"],
        "current_device": 0,
        "get_device_capability": capability,
        "get_device_name": device["name"],
        "get_device_properties": properties,
        "mem_get_info": (memory, memory),
        "set_device": None,
        "synchronize": None,
        "empty_cache": None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    subprocess.run = _tools(memory)


def _tools(memory: int) -> Any:
    """What stands for subprocess.run: two tools that print how large a GPU's memory is, and no other program."""

    def run(command: Any, *_: Any, **__: Any) -> Any:
        text = command if isinstance(command, str) else " ".join(command)
        if text.startswith("nvidia-smi --query-gpu=memory.total"):
            return SimpleNamespace(returncode=0, stdout=f"{memory // MIB}\n", stderr="")
        if text.startswith("rocminfo"):
            return SimpleNamespace(returncode=0, stdout=f"{memory // 1024}(0x0) KB\n", stderr="")
        raise FileNotFoundError(text)

    return run
