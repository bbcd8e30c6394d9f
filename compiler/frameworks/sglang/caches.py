"""In which precision SGLang caches keys and values."""

from __future__ import annotations

from dataclasses import replace

from compiler.frameworks.asked import CACHE, asked
from compiler.frameworks.devices import device
from compiler.frameworks.options import options
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


def rows(config: Config) -> Cached:
    """Bytes that a layer caches of a token where an indexer chooses: of its key, and of a row that FP8 packs, except for Blackwell's
    kernels (`mem_cache/kv_cache_configurator.py calculate_mla_kv_cache_dim`).
    """
    if not sparse(config.model):
        return Cached()
    packed = kept(config) == "fp8" and device(config.hardware.gpu).capability[0] == 9
    return Cached(row=PACKED_ROW if packed else None, index=index_bytes(config.model))
