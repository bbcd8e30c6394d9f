"""Our plans against DeepSpeed itself: its own functions make the groups, cut the layers and read the JSON."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from compiler.frameworks.deepspeed import emit, host, layout
from compiler.frameworks.deepspeed.prove import prove
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.proof import NotInstalledError
from compiler.specs.degrees import Parallel
from tests.configs import changed, composed
from tests.deepspeed_plans import PLANS, config, differences, needs_deepspeed, plans
from tests.worlds import LLAMA_8B, MOE_30B, TRAIN

pytestmark = needs_deepspeed


@pytest.mark.parametrize("name", layout.LAYOUTS)
def test_random_plans_are_what_deepspeed_builds(name: str) -> None:
    shapes = set()
    for given in plans(name):
        assert differences(lay_out(given)) == [], given.degrees
        shapes.add(given.degrees.name)
    assert len(shapes) > PLANS // 2


def test_dense_plans_are_what_deepspeed_builds() -> None:
    for tp, pp, adp in ((1, 1, 8), (2, 1, 4), (4, 3, 2), (1, 5, 6), (8, 4, 4)):
        given = replace(config(random.Random(0), "tensor"), model=LLAMA_8B, parallel=Parallel(tp=tp, pp=pp, adp=adp))
        batch = replace(given.workload, global_batch_size=adp * given.workload.micro_batch_size, zero_stage=1)
        assert differences(lay_out(replace(given, workload=batch))) == []


@pytest.mark.parametrize(("cp", "adp"), [(2, 1), (4, 8), (8, 3), (16, 2)])
def test_sequences_are_cut_as_ulysses_cuts_them(cp: int, adp: int) -> None:
    values: dict[str, Any] = {
        "global_batch_size": 6 * adp,
        "micro_batch_size": 2,
        "sequence_length": 4096,
        "zero_stage": 3,
    }
    workload = replace(config(random.Random(0), "tensor").workload, **values)
    given = replace(
        config(random.Random(0), "tensor"), model=LLAMA_8B, parallel=Parallel(cp=cp, adp=adp), workload=workload
    )
    world = lay_out(given)
    assert world.groups["cp"][0].tolist() == list(range(cp))
    assert differences(world) == []
    wrong = replace(world, kinds={**world.kinds, "cp": world.kinds["dp_cp"]})
    assert [found.what for found in differences(wrong)] == (["groups cp"] if adp > 1 else [])


def test_a_part_of_the_optimizer_is_what_deepspeed_reads() -> None:
    given = replace(config(random.Random(0), "tensor"), model=LLAMA_8B, parallel=Parallel(adp=8))
    values: dict[str, Any] = {
        "zero_stage": 3,
        "optimizer_offload": 0.25,
        "activation_offload": 1.0,
        "recompute": "full",
    }
    workload = replace(given.workload, global_batch_size=64, **values)
    world = lay_out(replace(given, workload=workload))
    assert differences(world) == []
    other = replace(world, config=replace(given, workload=replace(workload, optimizer_offload=1.0)))
    with mock.patch.object(host, "zero", return_value={"offload_optimizer": {"device": "cpu", "ratio": 0.5}}):
        assert [found.what for found in differences(other)] == ["resolved offload_optimizer"]


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_zero_plus_groups_are_deepspeeds(nodes: int) -> None:
    args = [
        "--json.zero_optimization.zero_hpz_partition_size=4",
        "--json.zero_optimization.zero_quantized_gradients=true",
    ]
    given = changed(
        config(random.Random(0), "contiguous"),
        {"parallel": Parallel(adp=8 * nodes, ep=1, etp=1), "framework.args": args, "workload.global_batch_size": 64},
    )
    world = lay_out(given)
    assert world.groups.size("deepspeed.zero_param") == 4
    assert differences(world) == []


def test_the_strategy_proves_in_seconds() -> None:
    world = lay_out(composed("framework=deepspeed"))
    start = time.monotonic()
    findings = list(prove(world, None))
    assert time.monotonic() - start < 15
    assert all(finding.equal for finding in findings)
    assert {f"groups {kind}" for kind in world.groups} <= {finding.what for finding in findings}


@pytest.mark.parametrize("kind", ["tp", "dp", "pp", "ep", "edp", "etp_ep", "deepspeed.ds_model"])
def test_a_wrong_kind_is_seen(kind: str) -> None:
    world = lay_out(composed("framework=deepspeed"))
    right = world.kinds[kind]
    wrong = replace(right, bases=tuple(reversed(right.bases)), members=tuple(reversed(right.members)))
    if wrong == right or kind == "etp_ep":  # made of ep and tp groups: it has no order of its own
        wrong = world.kinds["etp_ep_pp"]
    assert f"groups {kind}" in {found.what for found in differences(replace(world, kinds={**world.kinds, kind: wrong}))}


def test_another_layout_is_seen() -> None:
    given = config(random.Random(1), "contiguous")
    given = changed(
        given,
        {"parallel": Parallel(tp=2, adp=8, ep=4, etp=1), "workload.global_batch_size": 64, "model.num_experts": 8},
    )
    other = lay_out(changed(given, {"framework.expert_layout": "tp_strided"}))
    mixed = replace(other, config=changed(other.config, {"framework.expert_layout": "contiguous"}))
    assert {"groups ep", "groups edp"} <= {found.what for found in differences(mixed)}


@pytest.mark.slow
@pytest.mark.parametrize("number", ["0.16.9", "0.18.9", "0.19.2"])
def test_older_versions_build_the_same_groups(number: str) -> None:
    archive = Path(os.environ.get("RANKPLAN_WHEELS", "")) / f"deepspeed-{number}.tar.gz"
    if not archive.is_file():
        pytest.skip(f"no {archive.name} in RANKPLAN_WHEELS")
    before = sys.modules.get("deepspeed")
    given = next(found for found in plans("tensor") if found.degrees.tp > 1 and found.degrees.pp > 1)
    assert differences(lay_out(given), archive) == []
    folded = next(found for found in plans("autoep") if found.degrees.tp > 1)
    (refused,) = differences(lay_out(folded), archive)
    assert refused.what == "deepspeed-autoep-version"
    assert sys.modules.get("deepspeed") is before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensor", "tensor_data_first", "contiguous", "data_first"])
def test_an_engine_from_our_files_is_in_our_groups(name: str, tmp_path: Path) -> None:
    split = layout.LAYOUTS[name].split
    given = changed(
        config(random.Random(0), name),
        {
            "parallel": Parallel(tp=2, pp=2, adp=4, ep=2, etp=2 if split else 1),
            "model": replace(MOE_30B, num_hidden_layers=5, hidden_size=8, num_experts=8),
            "workload": replace(TRAIN, global_batch_size=16, precision="fp32", distributed_optimizer=False),
        },
    )
    world, rank = lay_out(given), 5
    for item in emit.emission(world).files:
        (tmp_path / Path(item.path).name).write_text(str(item.text))
    ran = subprocess.run(
        [sys.executable, Path(__file__).with_name("deepspeed_engine.py"), tmp_path],
        env={
            **os.environ,
            "DS_ACCELERATOR": "cpu",
            "RANK": str(rank),
            "WORLD_SIZE": "16",
            "LOCAL_RANK": "5",
            "LAYERS": "5",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert (found.pop("layers"), found.pop("micro_batches")) == ([0, 2], 4)
    for kind, ranks in found.items():
        assert world.groups.of_rank(kind, rank)[1].tolist() == ranks, kind


def test_a_source_without_deepspeed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="holds no package deepspeed ; pip download --no-deps deepspeed=="):
        list(prove(lay_out(composed("framework=deepspeed")), tmp_path))
