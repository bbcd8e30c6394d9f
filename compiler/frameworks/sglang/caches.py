"""In which precision SGLang caches keys and values."""

from __future__ import annotations

from dataclasses import replace

from compiler.frameworks.asked import CACHE, asked
from compiler.frameworks.devices import device
from compiler.frameworks.options import number, options
from compiler.frameworks.sglang.arguments import given
from compiler.frameworks.sglang.checkpoint import sparse
from compiler.frameworks.sglang.resolver.child import HEARD
from compiler.frameworks.sparse_cache import PACKED_ROW, index_bytes
from compiler.layout.traits import Cached
from compiler.specs.config import Config
from compiler.specs.workload import ROLES


def own(config: Config) -> str | None:
    """What it takes by itself, where that is not as wide as activations: attention by an indexer has FP8 on Blackwell and BF16 before
    (`arg_groups/overrides.py _dsa_kv_cache_dtype_default`), any other FP8 where a checkpoint of some methods asks for it, and no
    other format (`mem_cache/kv_cache_dtype.py`).
    """
    model = config.model
    if sparse(model):
        return "fp8" if device(config.hardware.gpu).capability[0] >= 10 else None
    asked_for = model.quantization.kv_cache == "fp8" and model.quantization.method in HEARD
    return "fp8" if asked_for and model.keeps_quantization(config.workload.precision) else None


def kept(config: Config) -> str:
    """The precision of the plan's cache."""
    return asked(config).cache or own(config) or config.model.wide(config.workload.precision)


def cached(config: Config) -> Config:
    """The configuration with SGLang's own precision as the key that says it, where neither the key nor an argument does."""
    workload, pools = config.workload, config.workload.pools
    args = [*config.framework.args, *([] if pools is None else [arg for role in ROLES for arg in pools[role].args])]
    if workload.train or workload.kv_cache_precision is not None or CACHE in options(args):
        return config
    return replace(config, workload=replace(workload, kv_cache_precision=own(config)))


DCP = "--dcp-size"
PHASES = {"prefill": "--dsa-prefill-backend", "decode": "--dsa-decode-backend"}
BARE_ON_AMD = ("tilelang", "triton", "aiter")
"""Kernels that read rows without scales on AMD's GPUs."""


def rows(config: Config) -> Cached:
    """What a layer caches of a token: on each of the ranks that share the sequence for decode, whose KV heads are those of all of
    them (`configs/model_config.py get_num_kv_heads`); and, where an indexer chooses, of its key and of a row that FP8 packs.
    """
    dcp = max(number(given(config), DCP, 1), 1)
    found = Cached(shards=dcp, alike=dcp) if dcp > 1 else Cached()
    if not sparse(config.model):
        return found
    packed = kept(config) == "fp8" and not _bare(config)
    return replace(found, row=PACKED_ROW if packed else None, index=index_bytes(config.model))


def _bare(config: Config) -> bool:
    """Whether kernels read rows without scales: those of the phase that a server does, or of any of both
    (`mem_cache/kv_cache_configurator.py calculate_mla_kv_cache_dim`).
    """
    role, chosen = config.workload.role, {phase: _kernel(config, phase) for phase in PHASES}
    own = {chosen[role]} if role in chosen else set(chosen.values())
    either = device(config.hardware.gpu).amd and set(chosen.values()) & set(BARE_ON_AMD)
    return "trtllm" in own or bool(either) or set(chosen.values()) == {"tilelang"}


def _kernel(config: Config, phase: str) -> str:
    """The kernel of a phase, told or chosen by the GPU and the cache's precision (`arg_groups/overrides.py`, DSA backends)."""
    this, told = device(config.hardware.gpu), given(config).get(PHASES[phase])
    if told or this.amd:
        return told or "triton"
    if kept(config) == "fp8":
        return "trtllm" if this.capability[0] >= 10 else "flashmla_kv"
    if phase == "prefill":
        return "flashmla_sparse"
    return "trtllm" if this.capability[0] >= 10 else "fa3"
