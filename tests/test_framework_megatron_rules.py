"""Megatron's rules hold and break, and what their fixes say compiles; tests/test_framework_megatron_oracle.py asks Megatron itself."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.errors import InvariantError
from compiler.passes import compile_config
from compiler.specs.config import Config
from tests.configs import changed
from tests.megatron_cases import CASES, ONE_STAGE
from tests.megatron_configs import MAPPED, TRAIN, checks, words


@pytest.mark.parametrize(("rule", "good", "values", "status", "message", "fix"), CASES, ids=[f"{row[0]}-{i}" for i, row in enumerate(CASES)])  # fmt: skip
def test_a_rule_holds_and_breaks(
    rule: str, good: Config, values: dict[str, Any], status: str, message: str, fix: str
) -> None:
    kept = checks(good).get(rule)
    assert kept is None or kept.status == "pass"
    found = checks(changed(good, values))[rule]
    assert found.status == status
    assert message in found.message
    assert fix in found.fix


@pytest.mark.parametrize(
    ("broken", "fixed"),
    [
        ({"parallel.order": "dp-tp-cp-ep-pp"}, {"parallel.order": "tp-cp-ep-dp-pp"}),
        (MAPPED, {"parallel.order": "tp-cp-ep-dp-pp"}),
        ({"workload.schedule": "zero_bubble"}, {"workload.schedule": "1f1b"}),
        ({"workload.sequence_parallel": False}, {"workload.sequence_parallel": True}),
    ],
)
def test_what_the_fix_says_compiles(broken: dict[str, Any], fixed: dict[str, Any]) -> None:
    with pytest.raises(InvariantError) as error:
        compile_config(changed(TRAIN, broken))
    ((key, value),) = fixed.items()
    assert f"write {key}={str(value).lower() if isinstance(value, bool) else value}" in str(error.value)
    compile_config(changed(changed(TRAIN, broken), fixed))


@pytest.mark.parametrize(
    ("broken", "fixed"),
    [
        ({"workload.activation_offload": 0.3}, {"workload.activation_offload": 0.3125}),
        ({"workload.activation_offload": 1.0}, {"workload.activation_offload": 0.9375}),
        (
            {"workload.optimizer_offload": 0.5, "workload.distributed_optimizer": False},
            {"workload.distributed_optimizer": True},
        ),
    ],
)
def test_a_part_that_is_offered_compiles(broken: dict[str, Any], fixed: dict[str, Any]) -> None:
    with pytest.raises(InvariantError) as error:
        compile_config(changed(ONE_STAGE, broken))
    ((key, value),) = fixed.items()
    assert f"write {key}={str(value).lower()}" in str(error.value)
    compile_config(changed(changed(ONE_STAGE, broken), fixed))


@pytest.mark.parametrize("order", ["tp-cp-ep-dp-pp", "tp-ep-cp-dp-pp", "cp-tp-ep-dp-pp"])
def test_an_order_that_changes_nothing_is_taken(order: str) -> None:
    assert checks(changed(TRAIN, {"parallel.order": order}))["megatron-order"].status == "pass"
    assert "--use-tp-pp-dp-mapping" not in words(changed(TRAIN, {"parallel.order": order}))


def test_layers_that_do_not_divide_have_no_rule() -> None:
    with pytest.raises(
        InvariantError, match=r"18 layers over 4 stages is 4.5 each ; write parallel.stages=\[5,5,4,4\]"
    ):
        compile_config(changed(TRAIN, {"model.num_hidden_layers": 18}))
