"""`search.pools`: servers that prefill and servers that decode, each pair with the instances that are best; and several frameworks at once."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from compiler import CompilerError, InvariantError, compile_plan, search
from compiler.config.load import load_config
from compiler.pools import compile_pools
from compiler.searches.find import opened
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel
from compiler.specs.workload import Pool, Pools
from tests.command import call, tree

SERVE = ["model=llama3_1_8b", "hardware=h100_80gb", "workload.sequence_lengths=[1024]", "workload.output_length=256"]
SERVE += ["search.vary={workload.global_batch_size:[2,48]}", "parallel.cp=1", "~expect"]
NODE, NODES = ["hardware.nodes=1", "hardware.node.gpus=4"], ["hardware.nodes=2", "hardware.node.gpus=2"]


class Pair(NamedTuple):
    """A pair as it is compiled, with what it does."""

    names: tuple[str, ...]
    gpus: int
    ttft_s: float
    tpot_s: float
    requests_per_s: float

    @property
    def request_s(self) -> float:
        return self.ttft_s + 255 * self.tpot_s


def loop(overrides: list[str]) -> list[Pair]:
    """Every pair of degrees of every number of instances on every number of nodes, compiled by itself."""
    config = load_config(overrides)
    space = opened(replace(config, framework=replace(config.framework, instances=1)), overrides)
    each = space.grids()
    sizes = [{name: int(each.chosen[name][at]) for name in ("tp", "cp", "pp", "adp")} for at in range(len(each))]
    found = []
    for fill, step, batch in product(sizes, sizes, (2, 48)):
        for one, config_ in _pairs(config, fill, step, batch):
            try:
                plan = compile_pools(config_)
            except CompilerError:
                continue
            contents = plan.contents
            if any(pool["memory"]["total_bytes"] > pool["memory"]["capacity_bytes"] for pool in contents["pools"].values()):
                continue
            row, names = contents["served"][-1], tuple(sorted(pool["name"] for pool in contents["pools"].values()))
            rate = contents["rates"][-1]["requests_per_s"]
            found.append(Pair((*names, str(batch)), one, row["ttft_s"], row["tpot_s"], rate))
    return found


def _pairs(config: Config, fill: dict[str, int], step: dict[str, int], batch: int) -> Iterator[tuple[int, Config]]:
    first, second = (size["tp"] * size["cp"] * size["pp"] * size["adp"] for size in (fill, step))
    for fillers, decoders in product(range(1, 5), range(1, 5)):
        gpus = first * fillers + second * decoders
        if gpus <= config.hardware.gpus:
            pools = Pools(
                Pool(Parallel(**fill), fillers), Pool(Parallel(**step), decoders, global_batch_size=batch)
            )
            for nodes in range(1, config.hardware.nodes + 1):
                hardware = replace(config.hardware, nodes=nodes)
                yield gpus, replace(config, workload=replace(config.workload, pools=pools), hardware=hardware)


ASKED: dict[str, Any] = {
    "throughput": ([], lambda pair: True, lambda pair: -pair.requests_per_s),
    "limit": (
        ["search.ttft_s=0.35"],
        lambda pair: pair.ttft_s <= 0.35,
        lambda pair: -pair.requests_per_s,
    ),
    "load": (
        ["search.requests_per_s=3", "search.tpot_s=0.02"],
        lambda pair: pair.requests_per_s >= 3 and pair.tpot_s <= 0.02,
        lambda pair: (pair.gpus, -pair.requests_per_s),
    ),
    "latency": (["search.objective=latency"], lambda pair: True, lambda pair: pair.request_s),
}


@pytest.mark.parametrize(
    "overrides",
    [[*SERVE, *NODE, "framework=sglang"], [*SERVE, *NODES, "framework=vllm", "parallel.pp=1"]],
    ids=["shared node", "nodes"],
)
def test_the_best_pair_is_that_of_a_loop_over_all(overrides: list[str]) -> None:
    """By every objective; and its figures are those of the pair when it is compiled."""
    pairs = loop([*overrides, "parallel=auto"])
    assert len(pairs) > 20
    for name, (more, keeps, score) in ASKED.items():
        best = min((pair for pair in pairs if keeps(pair)), key=score)
        found = search([*overrides, *more, "search.pools=apart"])
        row = found.contents["best"]
        assert score(Pair((), row["gpus"], row["ttft_s"], row["tpot_s"], row["requests_per_s"])) == pytest.approx(
            score(best), rel=1e-8
        ), name
        plan = found.best.contents
        assert plan["rates"][-1]["requests_per_s"] == pytest.approx(row["requests_per_s"], rel=1e-8)
        assert plan["served"][-1]["ttft_s"] == pytest.approx(row["ttft_s"], rel=1e-8)
