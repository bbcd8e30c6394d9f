"""A machine with GPUs as far as vLLM's configuration asks: NVML, a few questions to CUDA, and its compiled kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from compiler.frameworks.standin import nothing

STOOD_IN = (
    "cachetools cbor2 msgspec openai openai_harmony pybase64 uvloop zmq xgrammar compressed_tensors depyf blake3 cpuinfo "
    "prometheus_client fastapi starlette uvicorn watchfiles ijson setproctitle anthropic "
    "model_hosting_container_standards mcp llguidance flashinfer partial_json_parser tilelang quack humming"
).split()
"""What vLLM requires (its metadata) and a configuration does without."""

KERNELS = {
    "cutlass_scaled_mm_supports_fp8": 89,
    "cutlass_scaled_mm_supports_block_fp8": 90,
    "cutlass_scaled_mm_supports_fp4": 100,
    "cutlass_group_gemm_supported": 90,
    "mxfp4_experts_quant_supported": 100,
}
"""Questions to compiled kernels -> the compute capability that they want (their sources in csrc/)."""


class _Kernels:
    """vLLM's compiled kernels on a GPU: those for other devices are missing."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def __getattr__(self, name: str) -> Any:
        if name in KERNELS:
            return lambda given=0: (given or self.capability) >= KERNELS[name]
        if "cpu" in name or "onednn" in name:
            raise AttributeError(name)
        return nothing(name, name)


def pretend(gpu: Mapping[str, Any]) -> None:
    """NVML, and the few questions to CUDA that a configuration asks, answered for `count` GPUs of one kind."""
    import torch
    import torch._dynamo  # looks for CUDA itself, and finds none
    import torch._inductor.custom_graph_pass

    whole = 10 * gpu["capability"][0] + gpu["capability"][1]
    torch.version.cuda = "13.0"
    torch.cuda._is_compiled = lambda: True  # noqa: SLF001 - vLLM counts devices by it
    torch.cuda._device_count_nvml = lambda: gpu["count"]  # noqa: SLF001 - same
    torch.cuda.get_device_properties = lambda *_: SimpleNamespace(**gpu["properties"])
    import vllm.third_party.pynvml as nvml

    answers: dict[str, Callable[..., Any]] = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: gpu["count"],
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetCudaComputeCapability": lambda _: tuple(gpu["capability"]),
        "nvmlDeviceGetName": lambda _: gpu["name"],
        "nvmlDeviceGetUUID": lambda index: f"GPU-{index}",
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=gpu["memory_bytes"]),
    }
    for name, answer in answers.items():
        setattr(nvml, name, answer)
    made = torch.empty
    torch.empty = lambda *sizes, device=None, **how: made(*sizes, device="meta" if device == "cuda" else device, **how)
    torch.ops._C = _Kernels(whole)  # noqa: SLF001 - same
    torch.library.register_fake = lambda *_, **__: lambda function: function
