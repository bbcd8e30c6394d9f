"""What a plan keeps on the host, and which attention it asks for, as Megatron's own parser and classes take it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.megatron import prove, recorded
from compiler.frameworks.megatron.installed import megatron, module
from compiler.specs.config import Config
from tests.configs import changed
from tests.megatron_configs import TRAIN
from tests.megatron_plans import OLDEST, newest_megatron, plans, refusals, verdict, wheel

ONE_STAGE = changed(TRAIN, {"parallel.pp": 1, "parallel.dp": 16, "workload.global_batch_size": 256})
STATES = {"workload.optimizer_offload": 0.5}


@pytest.fixture(scope="module")
def newest() -> Iterator[None]:
    with newest_megatron():
        yield


def parsed(config: Config) -> Any:
    world = lay_out(config)
    return recorded.parsed(adapter("megatron").emission(world), world.size)


def optimizer(args: Any) -> Any:
    """Megatron's OptimizerConfig of an argument list."""
    kind = module("megatron.core.optimizer.optimizer_config").OptimizerConfig
    return kind(**{item.name: getattr(args, item.name) for item in fields(kind) if hasattr(args, item.name)})


def test_random_plans_put_states_and_layers_on_the_host(newest: None) -> None:
    one = {"parallel__pp": 1, "parallel__vpp": 1, "workload__recompute": "none", "workload__optimizer_offload": 0.25}
    drawn = list(plans(20, seed=5, **one, workload__distributed_optimizer=True, workload__activation_offload=0.5))
    for config in drawn:
        assert [finding for finding in prove.findings(lay_out(config)) if not finding.equal] == []
        read = optimizer(parsed(config))
        assert (read.optimizer_cpu_offload, read.optimizer_offload_fraction) == (True, 0.25)


def test_a_fraction_that_is_not_emitted_is_found(newest: None) -> None:
    world = lay_out(changed(ONE_STAGE, {**STATES, "workload.activation_offload": 0.5}))
    args = parsed(world.config)
    args.optimizer_offload_fraction, args.cpu_offloading_num_layers = 1.0, 7
    with mock.patch.object(recorded, "parsed", return_value=args):
        found = [finding.what for finding in prove.findings(world) if not finding.equal]
    assert found == ["resolved optimizer states on the host", "resolved layers whose activations are on the host"]


@pytest.mark.parametrize(
    ("values", "how"),
    [
        ({"workload.activation_offload": 1.0}, "configuration: CPU offloading can be done only for layers less than"),
        ({"parallel.pp": 2, "workload.activation_offload": 0.5}, "configuration: Currently there is no support for Pipeline"),
        ({"workload.recompute": "full", "workload.activation_offload": 0.5}, "configuration: CPU offloading does not work"),
        ({**STATES, "framework.args": ["--fp8-param-gather", "--fp8-recipe", "blockwise"], "workload.precision": "fp8"}, "arguments: When `--fp8-param-gather` is enabled, the optimizer cpu"),
    ],
)  # fmt: skip
def test_what_a_rule_refuses_megatron_refuses(newest: None, values: dict[str, Any], how: str) -> None:
    config = changed(ONE_STAGE, values)
    assert {"megatron-activation-offload", "megatron-optimizer-offload-fp8"} & set(refusals(config))
    said = verdict(config)
    assert said.startswith(how), said


@pytest.mark.parametrize(
    ("values", "rule", "how"),
    [
        ({"workload.distributed_optimizer": False}, "megatron-optimizer-offload", "with distributed optimizer"),
        ({"framework.args": ["--optimizer", "sgd"]}, "megatron-optimizer-offload-adam", "with adam"),
    ],
)
def test_the_optimizer_refuses_its_own(newest: None, values: dict[str, Any], rule: str, how: str) -> None:
    config = changed(ONE_STAGE, {**STATES, **values})
    assert rule in refusals(config)
    with pytest.raises(AssertionError, match=how):
        optimizer(parsed(config))


def test_attention_without_a_fused_kernel(newest: None) -> None:
    args = parsed(changed(TRAIN, {"workload.fused_attention": False}))
    language = module("megatron.core.models.common.language_module.language_module").LanguageModule
    model = SimpleNamespace(
        config=SimpleNamespace(attention_backend=args.attention_backend, flash_attention_version=None)
    )
    kernels = ("NVTE_FLASH_ATTN", "NVTE_FUSED_ATTN", "NVTE_UNFUSED_ATTN")
    with mock.patch.dict(os.environ):
        for name in kernels:
            os.environ.pop(name, None)
        language._set_attention_backend(model)
        assert [os.environ[name] for name in kernels] == ["0", "0", "1"]
        os.environ["NVTE_FLASH_ATTN"] = "1"
        with pytest.raises(AssertionError, match="expected 0 for attention backend type unfused"):
            language._set_attention_backend(model)


def test_the_oldest_has_the_same_rules() -> None:
    with megatron(wheel(OLDEST)):
        library = module("megatron.core.optimizer.optimizer_config")
        common = {
            "optimizer_cpu_offload": True,
            "optimizer_offload_fraction": 0.5,
            "use_precision_aware_optimizer": True,
        }
        with mock.patch.object(library, "is_te_min_version", return_value=True):  # Transformer Engine needs a GPU
            read = library.OptimizerConfig(**common, use_distributed_optimizer=True)
        assert read.optimizer_offload_fraction == 0.5
        with pytest.raises(AssertionError, match="with distributed optimizer"):
            library.OptimizerConfig(**common)
        made = module("megatron.core.transformer.transformer_config").TransformerConfig
        sizes = {"num_layers": 4, "hidden_size": 8, "num_attention_heads": 2, "cpu_offloading": True}
        assert made(**sizes, cpu_offloading_num_layers=3).cpu_offloading_num_layers == 3
        with pytest.raises(ValueError, match="layers less than 4"):
            made(**sizes, cpu_offloading_num_layers=4)
        assert module("megatron.core.transformer.enums").AttnBackend["unfused"].name == "unfused"
