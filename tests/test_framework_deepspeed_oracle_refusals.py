"""What our rules refuse DeepSpeed itself refuses, and its numbers are ours."""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from compiler.frameworks.deepspeed import emit
from compiler.frameworks.deepspeed.package import Package, opened
from tests.configs import changed
from tests.deepspeed_plans import config, needs_deepspeed

pytestmark = needs_deepspeed


@pytest.fixture
def package() -> Iterator[Package]:
    with opened(16, None) as found:
        yield found


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


def test_a_part_of_the_optimizer_needs_zero_3(package: Package) -> None:
    read = package.module("runtime.zero.config").DeepSpeedZeroConfig
    offload = {"device": "cpu", "ratio": 0.5}
    assert read(stage=3, offload_optimizer=offload).offload_optimizer.ratio == 0.5
    assert read(stage=1, offload_optimizer={**offload, "ratio": 1.0}).offload_optimizer.ratio == 1.0
    for stage in (1, 2):
        with pytest.raises(ValueError, match="Partial offloading only supported for ZeRO Stage 3"):
            read(stage=stage, offload_optimizer=offload)


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
