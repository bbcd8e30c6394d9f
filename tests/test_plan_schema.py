"""plan.json keeps the form that other programs read, and its size does not grow with the ranks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import compiler
from compiler.passes import compile_config
from compiler.plan import Plan
from compiler.render.artifacts import to_json
from compiler.specs.config import Config
from tests.command import degrees_of
from tests.configs import changed, composed

SCHEMA = json.loads((Path(compiler.__file__).parent / "plan.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def base(*overrides: str) -> Config:
    return composed("~expect", *overrides)


def hosts() -> str:
    return "host,leaf,pod,rack\n" + "".join(f"n{i},l{i // 16},p,r\n" for i in range(128))


PLANS: dict[str, Callable[[], Config]] = {
    "serve": composed,
    "train": lambda: base("workload=train"),
    "dense": lambda: base("model=llama3_1_8b", "parallel=tp8_pp4_adp32"),
    "mla": lambda: base("model=deepseek_v3", "parallel=deepseek_v3_2048", "hardware=h100_80gb", "hardware.nodes=256"),
    "adp": lambda: changed(base(), {"parallel": degrees_of("ep64_etp1_tp8_pp4_adp32")}),
    "virtual": lambda: changed(
        base("workload=train"),
        {"parallel": degrees_of("ep16_tp4_pp4_vpp2_dp4"), "workload.schedule": "interleaved"},
    ),
    "instances": lambda: changed(base(), {"framework.instances": 2, "parallel.dp": 2}),
    "pinned": lambda: changed(base(), {"hardware.inventory": hosts()}),
    "one rank": lambda: changed(
        base("model=llama3_1_8b", "parallel=dp1"),
        {"hardware.nodes": 1, "hardware.node.gpus": 1, "workload.global_batch_size": 1},
    ),
}


def written(plan: Plan) -> dict[str, Any]:
    """What a reader of the file sees."""
    found: dict[str, Any] = json.loads(to_json(plan.to_dict()))
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == "rankplan/1"


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_valid(name: str) -> None:
    plan = compile_config(PLANS[name]())
    contents = written(plan)
    assert [error.message for error in VALIDATOR.iter_errors(contents)] == []
    assert plan.to_dict().keys() == contents.keys()
    assert sum(len(layers) for layers in plan.world.stages.layers) == plan.config.model.num_hidden_layers
    kind = "train" if plan.config.workload.train else "serve"
    assert list(contents["projection"]) == [kind]


def test_the_grids_of_plan_json_are_enough_to_number_the_ranks(strategy: Plan) -> None:
    contents = written(strategy)
    for grid in contents["grids"].values():
        ranks = [0]
        for axis in grid:
            ranks = [rank + axis["stride"] * i for i in range(axis["size"]) for rank in ranks]
        assert sorted(ranks) == list(range(contents["world_size"]))


BREAK: dict[str, Callable[[dict[str, Any]], Any]] = {
    "schema": lambda plan: plan.update(schema="rankplan/2"),
    "no fingerprint": lambda plan: plan.pop("fingerprint"),
    "fingerprint": lambda plan: plan.update(fingerprint="x"),
    "name": lambda plan: plan.update(name="../x"),
    "ranks": lambda plan: plan.update(world_size=0),
    "degree": lambda plan: plan["degrees"].update(tp=2.5),
    "no degree": lambda plan: plan["degrees"].pop("edp"),
    "axis": lambda plan: plan["grids"]["expert"][0].update(axis="tp"),
    "stage": lambda plan: plan["stages"][0]["chunks"].append([1]),
    "memory": lambda plan: plan["memory"].update(total_bytes=-1),
    "stage's memory": lambda plan: plan["memory"]["stages"][0].pop("weights_bytes"),
    "span": lambda plan: plan["communication"][0].update(span="moon"),
    "projection": lambda plan: plan["projection"].update(train={}),
    "verdict": lambda plan: plan["expectations"][0].update(verdict="maybe"),
    "check": lambda plan: plan["checks"][0].update(status="ok"),
}


@pytest.mark.parametrize("name", BREAK)
def test_a_broken_plan_is_not_valid(strategy: Plan, name: str) -> None:
    contents = copy.deepcopy(written(strategy))
    BREAK[name](contents)
    assert not VALIDATOR.is_valid(contents)


def test_a_further_key_breaks_nobody(strategy: Plan) -> None:
    assert VALIDATOR.is_valid({**written(strategy), "new": 1})


def test_a_plan_of_131072_ranks_is_small(strategy: Plan) -> None:
    large = changed(
        composed(), {"hardware.nodes": 16384, "workload.global_batch_size": 8192, "workload.sequence_lengths": [128]}
    )
    plan = compile_config(changed(large, {"parallel": degrees_of("tp8_pp4_adp4096_ep64")}))
    assert plan.world_size == 131072
    assert len(to_json(plan.to_dict())) < 100_000
    assert VALIDATOR.is_valid(written(plan))
