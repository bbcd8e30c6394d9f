"""Our plans against DeepSpeed itself: its own functions make the groups, cut the layers and read the JSON."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from compiler.frameworks.adapter import adapter
from compiler.frameworks.deepspeed import emit, layout
from compiler.frameworks.deepspeed.package import Package, opened
from compiler.frameworks.deepspeed.prove import prove
from compiler.frameworks.proof import Finding, NotInstalledError
from compiler.passes import lay_out
from compiler.specs.config import Config, Framework
from compiler.specs.degrees import Parallel
from compiler.world import World
from tests.configs import changed, composed
from tests.worlds import GENERIC, LLAMA_8B, MOE_30B, TRAIN

VERSION = "0.19.8"
NEEDED = ("torch", "hjson", "msgpack", "psutil", "cpuinfo", "pydantic", "tqdm", "einops")
MISSING = [name for name in (*NEEDED, "deepspeed") if importlib.util.find_spec(name) is None]
PLANS = 60

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"deepspeed=={VERSION} needs {', '.join(MISSING)}")


def config(random_: random.Random, name: str) -> Config:
    """Random degrees of up to 384 ranks, of a MoE model whose experts suit them; some are refused."""
    chosen = layout.LAYOUTS[name]
    tp, pp = random_.choice((1, 2, 3, 4, 6, 8)), random_.choice((1, 1, 2, 3, 4))
    adp = random_.choice((1, 2, 3, 4, 6, 8, 12, 16))
    lanes = adp if chosen.split else adp * tp
    ep = random_.choice([size for size in range(1, lanes + 1) if lanes % size == 0])
    model = replace(MOE_30B, num_experts=ep * random_.choice((1, 2, 5)), num_hidden_layers=pp + random_.randrange(20))
    model = replace(model, num_experts_per_tok=min(model.num_experts, random_.choice((1, 2, 4))))
    micro = random_.choice((1, 2))
    workload = replace(
        TRAIN,
        micro_batch_size=micro,
        global_batch_size=adp * micro * random_.randrange(1, 9),
        zero_stage=random_.choice((0, 1, 1, 2)),
        distributed_optimizer=random_.random() < 0.5,
        precision=random_.choice(("bf16", "fp16", "fp32")),
        sequence_parallel=False,
    )
    return Config(
        hardware=GENERIC,
        model=model,
        parallel=Parallel(tp=tp, pp=pp, ep=ep, adp=adp, etp=tp if chosen.split else 1),
        workload=workload,
        framework=Framework(name="deepspeed", expert_layout=name),
    )


def accepted(given: Config) -> bool:
    return not any(item.status == "fail" for item in adapter("deepspeed").declared(given))


def plans(name: str) -> Iterator[Config]:
    """The same ones every time, PLANS of those that we accept."""
    random_, count = random.Random(name), 0
    while count < PLANS:
        found = config(random_, name)
        if accepted(found):
            count += 1
            yield found


def differences(world: World, source: Path | None = None) -> list[Finding]:
    return [finding for finding in prove(world, source) if not finding.equal]


@pytest.fixture
def package() -> Iterator[Package]:
    with opened(16, None) as found:
        yield found


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


def test_a_process_stays_usable(package: Package) -> None:
    groups = package.module("utils.groups")
    inside = groups.dist
    with opened(4, None) as nested:
        assert nested.module("utils.groups").dist is nested.recorder
        groups.mpu = "left behind"
    assert groups.dist is inside
    assert groups.mpu is None


def test_what_we_refuse_of_autoep_deepspeed_refuses(package: Package) -> None:
    folding = package.module("module_inject.auto_ep_folding")

    def says(message: str, *, data_first: bool = False, **sizes: int) -> None:
        spec = folding.build_folding_spec(**{"world_size": 16, "pp_size": 1, "tp_size": 2, "ep_size": 4, **sizes})
        with pytest.raises(ValueError, match=message):
            folding.validate_folding_global(spec, use_data_before_expert_parallel=data_first)

    says("pp_size=1 only", pp_size=2)
    says("not supported yet", etp_size=2)
    says("autoep_size > 1", ep_size=1)
    says("not supported with AutoEP", data_first=True)


def test_what_we_refuse_of_zero_deepspeed_refuses(package: Package) -> None:
    pipe, module = package.module("runtime.pipe.engine"), package.module("runtime.pipe.module")
    engine = pipe.PipelineEngine.__new__(pipe.PipelineEngine)
    engine.__dict__["module"] = module.PipelineModule.__new__(module.PipelineModule)
    engine.__dict__["zero_optimization_stage"] = lambda: 2
    with (
        mock.patch.object(pipe.DeepSpeedEngine, "__init__", return_value=None),
        pytest.raises(AssertionError, match="ZeRO-2 and ZeRO-3 are incompatible with pipeline"),
    ):
        pipe.PipelineEngine.__init__(engine)
    moe = package.module("moe.layer").MoE
    held = moe.__new__(moe)
    fake = SimpleNamespace(has_moe_layers=True, module=SimpleNamespace(named_modules=lambda: [("moe", held)]))
    with pytest.raises(AssertionError, match="not supported with ZeRO Stage 3"):
        package.module("runtime.engine").DeepSpeedEngine._validate_zero3_moe_compatibility(fake)


def test_an_ep_that_does_not_divide_is_deepspeeds_error_too(package: Package) -> None:
    groups = package.module("utils.groups")
    with pytest.raises(AssertionError, match="8 is not divisible by 3"):
        groups._get_expert_parallel_ranks(16, 2, 3)
    with pytest.raises(AssertionError, match="16 is not divisible by 3"):
        groups._create_expert_and_data_parallel(3)
    with pytest.raises(AssertionError, match="16 is not divisible by 3"):
        groups._create_zero_param_parallel_group(3)


def test_capacity_is_deepspeeds_and_tp_must_divide_it(package: Package) -> None:
    import torch

    sharded, mappings = package.module("moe.sharded_moe"), package.module("moe.mappings")
    random_ = random.Random(0)
    for _ in range(200):
        given = config(random_, "tensor")
        given = changed(
            given,
            {"workload.sequence_length": random_.randrange(1, 3000), "model.num_experts": random_.randrange(4, 99)},
        )
        tokens, model = given.workload.micro_batch_size * (given.workload.sequence_length or 0), given.model
        theirs = sharded._capacity(
            torch.empty(tokens, model.num_experts),
            torch.tensor(1.0 * model.num_experts_per_tok),
            torch.tensor(emit.MIN_CAPACITY),
        )
        assert emit.capacity(given) == int(theirs)
        assert emit.min_capacity(given) == emit.MIN_CAPACITY or emit.min_capacity(given) % given.degrees.tp == 0
    mpu: Any = SimpleNamespace(get_tensor_model_parallel_world_size=lambda: 4, get_tensor_model_parallel_rank=lambda: 0)
    package.module("utils.groups").mpu = mpu
    with pytest.raises(AssertionError, match="is not divisible by tensor parallel world size"):
        mappings._drop_tokens(torch.empty(2, 125, 8), dim=1)
