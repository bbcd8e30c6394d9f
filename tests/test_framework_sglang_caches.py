"""What SGLang caches of a token: shared out for decode, and as the kernels of an indexer read it."""

from __future__ import annotations

import pytest

from compiler.config.load import load_config
from compiler.costs.case import case
from compiler.costs.work.memory import kv_cache
from compiler.frameworks.lay_out import lay_out

SERVER = ("framework=sglang", "scheduler=[]", "hardware.nodes=2", "workload.global_batch_size=8")
FP8 = "workload.kv_cache_precision=fp8"
PACKED, BARE = (656 + 132) / (576 + 132), 1.0
"""Bytes of a row and an indexer's key, over those of a row without scales."""


def cached(model: str, degrees: str, *overrides: str, gpu: str = "h200") -> float:
    laid = lay_out(load_config([*SERVER, f"model={model}", f"hardware={gpu}", f"parallel={degrees}", *overrides]))
    return float(kv_cache(case(laid)).max())


@pytest.mark.parametrize(
    ("model", "degrees", "dcp", "part"),
    [
        ("deepseek_v3", "ep16_etp1_tp16_adp1", 8, 1 / 8),  # a latent is of all heads
        ("qwen3_32b", "tp16", 2, 1 / 2),  # 8 heads over 8 ranks, each with a copy: the copies become shares
        ("qwen3_32b", "tp16", 8, 1 / 2),  # 8 heads over 2 ranks
        ("qwen3_32b", "tp8_adp2", 2, 1),  # twice the heads, half the tokens
    ],
)
def test_decode_context_parallelism_shares_out_tokens_and_not_heads(
    model: str, degrees: str, dcp: int, part: float
) -> None:
    usual, shared = (cached(model, degrees, *args) for args in ((), (f"framework.args=[--dcp-size,{dcp}]",)))
    assert shared == pytest.approx(part * usual)


@pytest.mark.parametrize(
    ("gpu", "overrides", "rows"),
    [
        ("h200", [FP8], PACKED),
        ("h200", [FP8, "framework.args=[--dsa-decode-backend,trtllm]"], BARE),
        ("h200", [FP8, "framework.args=[--dsa-decode-backend,tilelang]"], PACKED),
        ("h200", [FP8, "framework.args=[--dsa-decode-backend,tilelang,--dsa-prefill-backend,tilelang]"], BARE),
        ("b200", [], BARE),
        ("b200", ["framework.args=[--dsa-decode-backend,flashmla_kv,--dsa-prefill-backend,flashmla_kv]"], PACKED),
        ("mi300x", [FP8], BARE),
    ],
)
def test_kernels_of_an_indexer_say_what_a_row_is(gpu: str, overrides: list[str], rows: float) -> None:
    found = cached("deepseek_v3_2", "ep16_etp1_tp16_adp1", *overrides, gpu=gpu)
    usual = cached("deepseek_v3_2", "ep16_etp1_tp16_adp1", gpu="b200")
    assert found == pytest.approx(rows * usual)
