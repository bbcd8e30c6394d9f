"""docs/frameworks.md says what the adapters say; `python -m tests.test_features` writes it anew."""

from pathlib import Path

import pytest

from compiler.frameworks.adapter import adapter, names
from tests.configs import changed
from tests.features import framework, table

PAGE = Path(__file__).parents[1] / "docs" / "frameworks.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == table(), "run `python -m tests.test_features`"


def test_known_answers() -> None:
    rows = {
        cells[1].strip(): cells[2:-1] for line in PAGE.read_text().splitlines() if len(cells := line.split("|")) > 3
    }
    of = {row: dict(zip(names(), map(str.strip, cells), strict=True)) for row, cells in rows.items()}
    etp = of["experts cut (etp above 1, with ep)"]
    assert {name for name, said in etp.items() if said == "no"} == {"torchtitan", "vllm"}
    assert of["attention ranks, fastest axis first"]["vllm"] == "tp cp pp dp"
    assert of["expert ranks, fastest axis first"]["sglang"].startswith("etp ep")
    assert of["expert ranks, fastest axis first"]["tensorrt_llm"].startswith("ep etp")
    assert {name for name, said in of["serves"].items() if said == "no"} == {"torchtitan"}
    assert of["18 layers on 4 stages"]["vllm"] == "4 5 5 4"
    assert of["18 layers on 4 stages"]["sglang"] == "4 4 5 5"
    assert of["18 layers on 4 stages"]["megatron"] == "as `parallel.stages` says"
    assert of["18 layers on 4 stages"]["maxtext"] == "refused"


@pytest.mark.parametrize(("name", "rule"), [("none", "expert-layout"), ("torchtitan", "torchtitan-expert-layout")])
def test_a_layout_of_experts_is_never_ignored(name: str, rule: str) -> None:
    plan = next(plan for plan in framework(name).plans if plan.degrees.ep > 1)
    said = {layout: changed(plan, {"framework.expert_layout": layout}) for layout in ("contiguous", "round_robin")}
    found = {key: [c for c in adapter(name).declared(value) if c.id == rule] for key, value in said.items()}
    assert [item.status for items in found.values() for item in items] == ["pass", "fail"]
    assert "framework.expert_layout=round_robin" in found["round_robin"][0].message


def test_every_framework_accepts_something() -> None:
    assert all(len(framework(name).plans) > 5 for name in names())


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(table())
