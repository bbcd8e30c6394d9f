"""Rules that are asked once for each kind of plan say what those of one plan say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.brute import space, whole
from compiler.searches.leaders import configured
from compiler.searches.watched import Unchosen, Watched
from tests.searched import SERVE, TRAIN, held


@pytest.mark.parametrize(
    "overrides",
    [
        TRAIN,
        [*TRAIN, "model=llama3_1_8b", "framework=torchtitan", "workload.global_batch_size=48"],
        [*TRAIN, "model=glm_4_5", "framework=none", "parallel.order=tp-cp-pp-ep-dp"],
        [*TRAIN, "framework=deepspeed"],
        [*TRAIN, "framework=torchtitan", "model=gpt_oss_20b", "hardware=b200", "workload.precision=fp8"],
        [*TRAIN, "framework=maxtext", "hardware.nodes=3"],
        SERVE,
        [*SERVE, "model=deepseek_v3", "framework=sglang", "hardware.nodes=2"],
        [*SERVE, "model=mixtral_8x7b", "framework=tensorrt_llm"],
        [*SERVE, "model=qwen3_30b_a3b", "workload.precision=fp8"],
    ],
    ids=lambda found: "_".join(item.partition("=")[2] for item in found if item.startswith(("model=", "framework="))),
)
def test_rules_of_many_plans_are_those_of_each(overrides: list[str]) -> None:
    """On random plans, half of them refused: the declared rules, and those of ranks that are laid out."""
    asked, differ = held([*overrides, "parallel=auto"], 25, 1)
    assert asked >= 25
    assert differ == []


def test_a_watched_configuration_notes_what_is_read() -> None:
    """Of a plan, of what is made of it, and of what follows from degrees; what is not chosen yet cannot be read."""
    of = space([*TRAIN, "parallel=auto"])
    plans, watched = whole(of), Watched(of.config, of.keys)
    at = len(plans) - 1
    watched.point(of.point(plans, at))
    config, plain = watched.config, configured(of, plans, at)
    assert (config.degrees.world_size, config.ranks) == (16, 16)
    assert set(watched.read) == {"world_size", "framework.instances"}
    other = replace(config, workload=replace(config.workload, precision="fp8"))
    assert (other.degrees.tp, other.degrees.edp, other.parallel.stages) == (
        plain.degrees.tp,
        plain.degrees.edp,
        plain.parallel.stages,
    )
    assert {"tp", "edp", "pp", "vpp", "parallel.stages", "workload.micro_batch_size"} <= set(watched.read)
    watched.unchosen = frozenset({"vpp"})
    assert config.degrees.pp == plain.degrees.pp
    with pytest.raises(Unchosen):
        config.degrees.vpp  # noqa: B018 - reading it is the test
