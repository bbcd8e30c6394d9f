"""What servers cache of a token for latent attention with an indexer (DSA), whichever server it is: the kernels are the same."""

from __future__ import annotations

from compiler.specs.model import Model

PACKED_ROW = 656.0
"""Bytes in FP8 on Hopper: 512 elements, four scales of FP32, and 64 rotated elements of BF16 (vLLM 0.33
`backends/mla/flashmla_sparse.py`, fp8_ds_mla; SGLang 0.5.23 `mem_cache/kv_cache_configurator.py`, calculate_mla_kv_cache_dim).
"""

INDEX_SCALE = 4 / 128
"""Bytes of scales for a byte of an indexer's key: FP32 for 128 (vLLM `models/deepseek_v2.py`, Indexer; SGLang
`mem_cache/pool_host/dsa.py`, dsa_indexer_bytes_per_token_per_layer).
"""


def index_bytes(model: Model) -> float:
    """Of an indexer's key, which is FP8 whatever the cache is."""
    return model.indexer[1] * (1 + INDEX_SCALE)
