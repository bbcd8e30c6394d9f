"""Attention that no back end of vLLM has: it stops when the model is built, after the weights were found."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule
from compiler.frameworks.devices import device
from compiler.specs.config import Config

SPARSE = (9, 0)
"""The least compute capability of every back end of sparse attention (`v1/attention/backends/mla`)."""


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """`source` names vLLM and its version."""
    yield _context(config, source)
    if config.model.index_topk is not None:
        yield _sparse(config, source)


def _context(config: Config, source: str) -> Check:
    """Prompts are cut over ranks by the implementations of latent attention alone."""
    degrees, model = config.degrees, config.model
    wide = degrees.tp * degrees.cp
    fits = model.num_attention_heads % wide == 0
    return check(
        "vllm-prefill-context-attention",
        holds=degrees.cp == 1 or model.mla,
        observed=f"cp={degrees.cp}, {'latent' if model.mla else 'grouped'} attention",
        limit="cp=1, or latent attention",
        message=f"{source} v1/attention/backend.py has prefill context parallelism for latent attention (MLA) alone, and cp={degrees.cp} "
        f"beside {model.kv_heads} KV heads",
        fix=f"write parallel.cp=1 parallel.tp={wide}" if fits else "write parallel.cp=1",
    )


def _sparse(config: Config, source: str) -> Check:
    gpu = config.hardware.gpu
    own = device(gpu)
    return check(
        "vllm-sparse-attention",
        holds=own.amd or own.capability >= SPARSE,
        observed=gpu.name,
        limit="Hopper or later",
        message=f"{source} v1/attention/backends/mla has no kernel of sparse attention (model.index_topk={config.model.index_topk}) for "
        f"{gpu.name}",
        fix="take hardware with Hopper or Blackwell GPUs, such as hardware=h200",
    )
