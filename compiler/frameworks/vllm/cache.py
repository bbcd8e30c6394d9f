"""In what vLLM caches keys and values: what it is told, else what the checkpoint says, else the model's default on that GPU."""

from __future__ import annotations

from compiler.frameworks.asked import CACHE
from compiler.frameworks.devices import device
from compiler.frameworks.sparse_cache import PACKED_ROW, index_bytes
from compiler.frameworks.vllm.arguments import decode_context, given
from compiler.layout.traits import Cached
from compiler.specs.config import Config

AUTO = "auto"
CALIBRATED = {"fp8": "fp8_e4m3", "nvfp4": "nvfp4"}
"""ModelOpt's `kv_cache_quant_algo` -> vLLM's name (`utils/torch_utils.py`, MODELOPT_TO_VLLM_KV_CACHE_DTYPE_MAP)."""

ELEMENTS = {
    "bfloat16": 2.0,
    "float16": 2.0,
    "float32": 4.0,
    "fp8": 1.0,
    "fp8_e4m3": 1.0,
    "fp8_e5m2": 1.0,
    "nvfp4": 0.5625,
}
"""Bytes of an element; NVFP4 has a scale of one byte for 16."""


def dtype(config: Config) -> str:
    """`cache_config.cache_dtype` once it is resolved; `auto` is as wide as activations."""
    said = given(config).get(CACHE, AUTO)
    return said if said != AUTO else _by_checkpoint(config) or _by_model(config) or AUTO


def _by_checkpoint(config: Config) -> str | None:
    """`resolve_kv_cache_dtype_string` for ModelOpt; an attention layer that is not latent does it for compressed-tensors."""
    model = config.model
    method, cache = model.quantization.method or "", model.quantization.kv_cache
    if cache is None or not (model.keeps_quantization(config.workload.precision) or not model.stored):
        return None
    if method.startswith("modelopt"):
        return CALIBRATED[cache]
    return "fp8" if method == "compressed-tensors" and not model.mla else None


def _by_model(config: Config) -> str | None:
    """FP8 for GLM with sparse attention on Blackwell (`models/config.py`, GlmMoeDsaForCausalLM)."""
    blackwell = device(config.hardware.gpu).generation(10)
    return "fp8_e4m3" if config.model.model_type == "glm_moe_dsa" and blackwell else None


def cached(config: Config) -> Cached:
    """Bytes that a layer caches of a token. Prefill context parallelism keeps copies, decode context parallelism shares them out
    (`config/parallel.py`, pcp_shard_decode_requests).
    """
    model, kind = config.model, dtype(config)
    element, shards = ELEMENTS.get(kind), decode_context(config)
    if not model.mla or model.index_topk is None:
        return Cached(element, shards=shards)
    packed = kind.startswith("fp8") and device(config.hardware.gpu).capability[0] == 9
    return Cached(element, PACKED_ROW if packed else None, index_bytes(model), shards)
