"""Verdicts on the strategy's claims, how they turn with the plan, and claims that cannot be judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from compiler.claims.judge import judge
from compiler.errors import ConfigError, InvariantError
from compiler.passes import compile_config
from compiler.plan import Plan
from tests.configs import changed, compiled, composed

HOLDS = set(
    "gpu-count effective-compute effective-bandwidth weights-total params-per-expert experts-per-gpu tp-cut "
    "layers-per-stage sequences-per-replica dp-replicas memory-constraint "
    "dp-capacity decode-intensity decode-tp".split()
)
FAILS = set(
    "params-total dense-params moe-params gpu-holds-1gb gpu-holds-arithmetic ep-communication moe-params-per-gpu "
    "pp-decode-bubbles dp-ranks-independent params-per-gpu bytes-per-gpu all-to-all-once tp-carries-gradients "
    "experts-in-parallel faster-routing prefill-intensity utilisation decode-communication".split()
)


def verdicts(plan: Plan) -> dict[str, str]:
    return {verdict.id: verdict.verdict for verdict in plan.expectations}


class TestVerdicts:
    def test_of_the_strategy(self, strategy: Plan) -> None:
        found = verdicts(strategy)
        assert {name for name, verdict in found.items() if verdict == "holds"} == HOLDS
        assert {name for name, verdict in found.items() if verdict == "fails"} == FAILS
        assert all("{" not in verdict.reason for verdict in strategy.expectations)

    @pytest.mark.parametrize(
        ("changes", "flipped"),
        [
            ({"workload__precision": "fp8"}, {"weights-total": "fails"}),
            ({"workload__global_batch_size": 256}, {"sequences-per-replica": "fails", "pp-decode-bubbles": "holds"}),
            ({"model__num_experts": 16}, {"experts-per-gpu": "fails", "experts-in-parallel": "holds"}),
            ({"model__hidden_size": 7936, "model__head_dim": 496}, {"dense-params": "holds"}),
            ({"hardware__gpu__memory_efficiency": 0.5}, {"effective-bandwidth": "fails"}),
            ({"hardware__gpu__compute_efficiency": 0.5}, {"effective-compute": "fails"}),
            ({"degrees": "ep8_tp8_pp4_dp4"}, {"gpu-count": "not_applicable", "weights-total": "holds"}),
            ({"hardware__name": "mine"}, {"effective-compute": "not_applicable", "gpu-holds-1gb": "not_applicable"}),
            ({"model__name": "mine"}, dict.fromkeys(sorted(HOLDS | FAILS), "not_applicable")),
            (
                {"workload__kind": "train", "workload__sequence_length": 4096},
                {"dp-replicas": "fails", "tp-carries-gradients": "not_applicable", "all-to-all-once": "fails"},
            ),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
    )
    def test_turn_with_the_plan(self, changes: dict[str, Any], flipped: dict[str, str]) -> None:
        found = verdicts(compiled(**changes))
        assert {name: found[name] for name in flipped} == flipped

    def test_strict_names_every_claim_that_fails(self, strategy: Plan) -> None:
        config = changed(composed(), {"expect.strict": True})
        with pytest.raises(InvariantError) as caught:
            compile_config(config)
        assert {problem.what.split(":")[0].removeprefix("expect-") for problem in caught.value.problems} == FAILS
        said = str(caught.value)
        assert "claimed 1.6B, computed 101.6M" in said
        assert "claimed > 0, computed 0" in said

    @pytest.mark.parametrize(
        ("claim", "said"),
        [
            ({"metric": "no.such"}, "the plan has no value at no.such"),
            ({"metric": "stages.9.pp"}, "the plan has no value at stages.9.pp"),
            ({"metric": "degrees"}, "which is a table"),
            ({"claimed": [1]}, "no single value"),
            ({"claimed": None}, "no single value"),
            ({"claimed": "many", "comparison": "<"}, "orders the text many"),
            ({"reason": "{a.b}"}, "the plan has no value at a.b"),
        ],
    )
    def test_a_claim_that_cannot_be_judged(
        self, strategy: Plan, strategy_json: dict[str, Any], claim: dict[str, Any], said: str
    ) -> None:
        first = strategy.config.expect.claims[0]
        config = changed(strategy.config, {"expect.claims": [replace(first, **claim)]})
        with pytest.raises(ConfigError, match=said):
            judge(config, strategy_json)
