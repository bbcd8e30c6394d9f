"""Random plans against TensorRT-LLM's published rules, and against `mapping.py` where there is one to run."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler import invariants
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.proof import NotInstalledError
from compiler.frameworks.tensorrt_llm.emit import emission
from compiler.frameworks.tensorrt_llm.prove import prove
from compiler.layout.grid import GroupKind
from compiler.world import World
from tests.configs import changed, composed

MODELS = ("mixtral_8x7b", "qwen3_30b_a3b", "llama3_1_8b", "deepseek_v3")
MAPPING = '''
class Mapping:
    """The interface of the real one, for plans without cp."""

    def __init__(self, world_size, enable_attention_dp, tp_size, cp_size, pp_size, moe_tp_size=0, moe_ep_size=1, pp_partition=None):
        self.world_size, self.tp_size, self.cp_size, self.moe_ep_size = world_size, tp_size, cp_size, moe_ep_size
        self.rank, self.parts = 0, pp_partition
        stages = range(0, world_size, tp_size)
        self.tp_groups = [list(range(first, first + tp_size)) for first in stages]
        self.cp_groups = [[rank] for rank in range(world_size)]
        self.pp_groups = [[first + rank for first in stages] for rank in range(tp_size)]
        self.moe_ep_groups = [list(range(first, first + moe_ep_size)) for first in range(0, world_size, moe_ep_size)]
        self.moe_tp_groups = [list(range(first + at, first + tp_size, moe_ep_size)) for first in stages for at in range(moe_ep_size)]

    tp_rank = property(lambda self: self.rank % self.tp_size)
    cp_rank = property(lambda self: 0)
    pp_rank = property(lambda self: self.rank // self.tp_size)
    moe_ep_rank = property(lambda self: self.tp_rank % self.moe_ep_size)
    moe_tp_rank = property(lambda self: self.tp_rank // self.moe_ep_size)

    def pp_layers(self, count):
        import torch
        stages = torch.tensor_split(torch.arange(count), self.world_size // self.tp_size)
        return stages[self.pp_rank].tolist()

    def ep_experts(self, count):
        share = count // self.moe_ep_size
        return list(range(self.moe_ep_rank * share, (self.moe_ep_rank + 1) * share))
'''


def plans(count: int) -> Iterator[World]:
    """Random plans that rankplan accepts."""
    dice = random.Random(11)
    while count:
        found = drawn(dice)
        if found is not None:
            count -= 1
            yield found


def drawn(dice: random.Random) -> World | None:
    base = composed("framework=tensorrt_llm", f"model={dice.choice(MODELS)}")
    width, cp, pp = dice.choice((1, 2, 4, 8, 16)), dice.choice((1, 1, 2)), dice.choice((1, 2, 3, 4))
    adp = dice.choice((True, False)) and base.model.moe
    ep = dice.choice([ep for ep in (1, 2, 4, 8, 16, 32) if width * cp % ep == 0]) if base.model.moe else 1
    values: dict[str, Any] = {
        "framework.version": dice.choice(("1.1", "1.2", "1.3")),
        "parallel.tp": 1 if adp else width,
        "parallel.dp": None,
        "parallel.adp": width if adp else 1,
        "parallel.cp": cp,
        "parallel.pp": pp,
        "parallel.ep": ep,
        "parallel.etp": width * cp // ep if base.model.moe else 1,
        "workload.global_batch_size": 48,
        "hardware.node.gpus": 1,
        "hardware.nodes": width * cp * pp,
    }
    if pp == 2 and values["framework.version"] != "1.1" and dice.choice((True, False)):
        values["parallel.stages"] = [5, base.model.num_hidden_layers - 5]
    config = changed(base, values)
    return None if any(check.status == "fail" for check in invariants.declared(config)) else lay_out(config)


def differences(world: World, source: Path | None) -> list[str]:
    return [f"{item.what}: {item.planned} | {item.found}" for item in prove(world, source) if not item.equal]


def test_random_plans_follow_the_published_rules() -> None:
    worlds = list(plans(120))
    assert len({(world.degrees.name, world.config.framework.version) for world in worlds}) > 50
    assert any(world.degrees.cp > 1 and world.degrees.ep > 1 for world in worlds)
    for world in worlds:
        assert differences(world, None) == [], world.config


def test_a_finding_says_that_the_rules_were_not_run() -> None:
    world = next(plans(1))
    kinds = {item.what.removeprefix("groups ") for item in prove(world, None) if item.what.startswith("groups ")}
    assert kinds == set(world.groups)
    assert any("not run: no wheel was given" in item.what for item in prove(world, None))


def test_random_plans_against_mapping_py(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    (tmp_path / "tensorrt_llm").mkdir()
    (tmp_path / "tensorrt_llm" / "mapping.py").write_text(MAPPING)
    for world in [world for world in plans(60) if world.degrees.cp == 1 and world.config.parallel.stages is None]:
        assert differences(world, tmp_path) == [], world.config
        assert any("mapping.py" in item.what for item in prove(world, tmp_path))


def test_random_plans_against_a_wheel() -> None:
    """The real `mapping.py`; the package index has no wheel of it, so CI skips this."""
    pytest.importorskip("torch", reason="torch is not installed")
    found = sorted(Path(os.environ.get("RANKPLAN_WHEELS", "wheels")).glob("tensorrt_llm-1.[23]*.whl"))
    if not found:
        pytest.skip("no wheel of tensorrt_llm 1.2 or 1.3 in RANKPLAN_WHEELS")
    for world in [world for world in plans(60) if world.config.framework.version != "1.1"]:
        assert differences(world, found[0]) == [], world.config


def test_another_order_is_noticed(tmp_path: Path) -> None:
    world = next(world for world in plans(60) if world.degrees.etp > 1 and world.degrees.ep > 1)
    width = world.degrees.ep * world.degrees.etp
    swapped = GroupKind(
        ((world.degrees.ep, world.degrees.etp),), ((world.degrees.etp, 1), (world.size // width, width))
    )
    broken = replace(world, kinds={**world.kinds, "ep": swapped})
    assert [line.split(":")[0] for line in differences(broken, None)] == ["groups ep"]


def test_a_wrong_argument_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = lay_out(composed("framework=tensorrt_llm", "parallel=ep4_etp2_adp8", "hardware.nodes=1"))
    wrong = lay_out(composed("framework=tensorrt_llm", "parallel=ep2_etp4_adp8", "hardware.nodes=1"))
    emitted = emission(wrong)
    monkeypatch.setattr("compiler.frameworks.tensorrt_llm.prove.emission", lambda _: emitted)
    assert "degrees in the emitted options" in differences(world, None)[0]


def test_what_is_no_wheel_says_what_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="pip download"):
        list(prove(next(plans(1)), tmp_path))
