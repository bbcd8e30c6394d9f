"""Tokens of a page of SGLang's KV cache, which the attention kernels of a GPU and a model decide."""

from __future__ import annotations

from compiler.frameworks.devices import device
from compiler.frameworks.family import architecture
from compiler.frameworks.options import number, options
from compiler.frameworks.sglang.checkpoint import sparse
from compiler.frameworks.sglang.contexts import LATENT
from compiler.specs.config import Config

PAGES = {
    "flashmla": (64,),
    "trtllm_mla": (64, 32),
    "cutedsl_mla": (64, 32),
    "trtllm_mha": (64, 16, 32, 128),
    "hpc_ops": (64,),
}
"""Kernels -> the pages that they take, what they set for any other first (`arg_groups/overrides.py _mla_backend_page_constraints`)."""

SPARSE = 64
"""Attention with an indexer (`arg_groups/model_overrides/deepseek_v2.py`)."""

KERNELS = ("--attention-backend", "--prefill-attention-backend", "--decode-attention-backend")


def kernels(config: Config) -> set[str]:
    """Attention kernels: the user's, else those that SGLang chooses by itself (`get_default_attn_backend` and a family's overrides)."""
    given, model = options(config.framework.args), config.model
    chosen = {given[name] for name in KERNELS if name in given}
    if chosen or not device(config.hardware.gpu).generation(10):
        return chosen
    if model.mla:
        return {"trtllm_mla"} if architecture(model) in LATENT and not sparse(model) else set()
    return {"trtllm_mha"}


def page(config: Config) -> int:
    """Tokens of a page."""
    if sparse(config.model):
        return SPARSE
    asked = number(options(config.framework.args), "--page-size", 1)
    for taken in (PAGES[name] for name in sorted(kernels(config)) if name in PAGES):
        asked = asked if asked in taken else taken[0]
    return asked
