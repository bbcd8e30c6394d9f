"""Streams of hyper-connections that backward keeps, and that it makes again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.config.load import load_config
from compiler.costs.case import case
from compiler.costs.work.activations import stored_each
from tests.worlds import LLAMA_8B, TRAIN, world


def stored(streams: int, *modules: str) -> float:
    """Bytes of a micro-batch of one layer on one rank."""
    count = float(streams * (streams * LLAMA_8B.hidden_size + 1) + 1) if streams > 1 else 0.0
    model = replace(LLAMA_8B, num_hidden_layers=1, other_params={"streams": count} if count else {})
    again = replace(TRAIN, recompute="selective", recompute_modules=["layernorm", *modules])
    return float(stored_each(case(world("tp1", model, again))).max())


def test_each_block_keeps_its_streams_and_what_it_puts_out() -> None:
    hidden = 2 * LLAMA_8B.hidden_size * 4096
    assert stored(4) - stored(1) == pytest.approx(2 * 5 * hidden)
    assert stored(4, "mhc") == stored(1)


def test_streams_are_read_off_the_weights_that_make_and_join_them() -> None:
    model = load_config(["model=deepseek_v4_flash", "scheduler=[]"]).model
    assert model.streams == 4
    assert LLAMA_8B.streams == 1
