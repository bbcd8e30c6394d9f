"""`search.pools`: servers that prefill and servers that decode, each pair with the instances that are best; and several frameworks at once."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from compiler import CompilerError, compile_plan, search
from compiler.config.load import load_config
from compiler.pools import compile_pools
from compiler.searches import typed
from compiler.searches.compare import all_of, costed
from compiler.searches.find import row
from compiler.searches.opened import again, opened, spaces
from compiler.searches.order import ordered
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel
from compiler.specs.workload import Pool, Pools
from tests.command import call, tree

SERVE = ["model=llama3_1_8b", "hardware=h100_80gb", "workload.sequence_lengths=[1024]", "workload.output_length=256"]
SERVE += ["search.vary={workload.global_batch_size:[2,48]}", "parallel.cp=1", "~expect"]
NODE = ["hardware.nodes=1", "hardware.node.gpus=4"]
APART = [*SERVE, "hardware.nodes=2", "hardware.node.gpus=2", "framework=sglang", "search.pools=apart", "parallel.pp=1"]


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
            if any(
                pool["memory"]["total_bytes"] > pool["memory"]["capacity_bytes"] for pool in contents["pools"].values()
            ):
                continue
            row, names = contents["served"][-1], tuple(sorted(pool["name"] for pool in contents["pools"].values()))
            rate = contents["rates"][-1]["requests_per_s"]
            found.append(Pair((*names, str(batch)), one, row["ttft_s"], row["tpot_s"], rate))
    return found


def _degrees(sizes: dict[str, Any]) -> Parallel:
    return Parallel(**sizes)


def _pairs(config: Config, fill: dict[str, int], step: dict[str, int], batch: int) -> Iterator[tuple[int, Config]]:
    first, second = (size["tp"] * size["cp"] * size["pp"] * size["adp"] for size in (fill, step))
    for fillers, decoders in product(range(1, 4), range(1, 4)):
        gpus = first * fillers + second * decoders
        if gpus <= config.hardware.gpus:
            pools = Pools(Pool(_degrees(fill), fillers), Pool(_degrees(step), decoders, global_batch_size=batch))
            for nodes in range(1, config.hardware.nodes + 1):
                hardware = replace(config.hardware, nodes=nodes)
                yield gpus, replace(config, workload=replace(config.workload, pools=pools), hardware=hardware)


def quiet(_part: float) -> None:
    """Tells nobody what part is done."""


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


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    found = loop([*APART, "parallel=auto"])
    assert len(found) > 15
    return found


@pytest.mark.parametrize("name", ASKED)
def test_the_best_pair_is_that_of_a_loop_over_all(pairs: list[Pair], name: str) -> None:
    """By every objective, with instances that share a node and that do not; and all that a search says of it is what a compile says."""
    more, keeps, score = ASKED[name]
    best = min((pair for pair in pairs if keeps(pair)), key=score)
    given = [*APART, *more, "parallel=auto"]
    config = load_config(given)
    space, found, figures = all_of(config, given, load_config, quiet)
    at = int(ordered(space.config, found.plans, figures)[0])
    gpus, *seen = (
        float(values[at]) for values in (figures.gpus, figures.ttft_s, figures.tpot_s, figures.requests_per_s)
    )
    assert score(Pair((), int(gpus), *seen)) == pytest.approx(score(best), rel=1e-8)
    plan = compile_plan(typed.overrides(space, given, found.plans, at)).contents
    served, rate = plan["served"][-1], plan["rates"][-1]
    assert plan["ranks"] == gpus
    assert [served["ttft_s"], served["tpot_s"], rate["requests_per_s"]] == pytest.approx(seen, rel=1e-8)


def test_frameworks_and_pools_are_one_order(tmp_path: Path) -> None:
    """The best of each alone is the best of all, and its folder that of what is typed."""
    given = [*SERVE, *NODE, "parallel=auto", "framework=[vllm,sglang]", "search.pools=either", "search.tpot_s=0.02"]
    found = search(given)
    config = load_config(given)
    each = list(spaces(config, given, load_config))
    alone = [costed(one, partial(again, given, load_config, one), quiet)[1].tokens_per_s.max() for one in each]
    assert len(alone) == 4
    assert found.figures.tokens_per_s[0] == pytest.approx(max(alone), rel=1e-8)
    plan, report = found.write(tmp_path / "found")
    typed_ = [item for item in given if not item.startswith(("search", "framework", "parallel=auto"))]
    made = compile_plan([*typed_, *found.contents["best"]["overrides"]]).write(tmp_path / "typed")
    assert tree(made) == tree(plan)
    rows = list(csv.DictReader((report / "candidates.csv").read_text().splitlines()))
    assert {one["framework"] for one in rows} == {"vllm", "sglang"}
    told = [row(found, at) for at in range(len(rows))]
    assert [[one[key] for key in ("degrees", "framework")] for one in told] == [
        [one[key] for key in ("degrees", "framework")] for one in rows
    ]
    leaders = [(one["framework"], one["degrees"]) for one in found.contents["leaders"]]
    assert len(set(leaders)) == len(leaders) == 5
    assert {row["degrees"].startswith("prefill_") for row in rows} == {True, False}
    assert {row["value"] for row in found.contents["by_value"]["framework"]} == {"vllm", "sglang"}
    assert all(row["value"] for row in found.contents["by_value"]["prefill.tp"])


ONE_NODE = [*SERVE, *NODE, "framework=sglang", "parallel.tp=1", "parallel.pp=1", "search.pools=apart"]


@pytest.mark.parametrize("lengths", [(1024, 16), (1, 64)])
def test_prompts_are_paced_as_in_the_report_of_what_is_typed(lengths: tuple[int, int]) -> None:
    """Where short answers leave prefill behind, and where prompts are so short that thousands are filled in one go."""
    prompt, answer = lengths
    found = search([*ONE_NODE, f"workload.sequence_lengths=[{prompt}]", f"workload.output_length={answer}"])
    rate = found.best.contents["rates"][-1]
    assert found.figures.requests_per_s[0] == pytest.approx(rate["requests_per_s"], rel=1e-8)
    assert answer > 16 or rate["limited_by"] == "prefill"


@pytest.mark.parametrize("names", ["vllm", "vllm,vllm"])
def test_a_list_of_one_framework_is_that_framework(names: str) -> None:
    found = search([*SERVE, *NODE, "parallel.tp=1", "parallel.pp=1", "parallel=auto", f"framework=[{names}]"])
    assert found.best.config.framework.name == "vllm"
    assert found.contents["best"]["overrides"][0] == "framework=vllm"
    assert not found.space.spaces


def test_on_the_command_line_frameworks_are_a_list(tmp_path: Path) -> None:
    given = [*SERVE, *NODE, "parallel=auto", "framework=[vllm,sglang]"]
    ran = call(*given, "search.name=two", "--json", cwd=tmp_path)
    assert ran.code == 0
    assert json.loads(ran.out)["plan"].endswith(("sglang_x4", "vllm_x4"))
    assert call(*SERVE, *NODE, "framework=[vllm,sglang]", "parallel=tp2", cwd=tmp_path).code == 2
