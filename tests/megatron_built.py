"""The model that Megatron builds of a plan's arguments: on the meta device, whole on one rank, with its own layers."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.megatron import placed, recorded
from compiler.frameworks.megatron.installed import module, quiet
from compiler.specs.config import Config
from tests.configs import changed, composed

ONE_RANK = {
    "hardware.nodes": 1,
    "hardware.node.gpus": 1,
    "workload.global_batch_size": 1,
    "workload.sequence_length": 1024,
}
BUILT_HERE = {
    "transformer_impl": "local",
    "use_cpu_initialization": True,
    "perform_initialization": False,
    "gradient_accumulation_fusion": False,
    "moe_grouped_gemm": False,
    "no_persist_layer_norm": True,
}
"""What keeps Transformer Engine and initial values, neither of which a parameter count needs, out of it."""


def whole(*overrides: str) -> Config:
    """A training plan of one rank."""
    return changed(composed("framework=megatron", "workload=train", *overrides, "parallel=adp1"), ONE_RANK)


def parsed(config: Config) -> Any:
    """Arguments as Megatron's own parser has them."""
    found = recorded.parsed(adapter("megatron").emission(lay_out(config)), 1)
    assert not isinstance(found, recorded.Refused), found
    vars(found).update(BUILT_HERE)
    return found


def built(config: Config) -> Any:
    """Megatron's GPTModel of a plan."""
    args = parsed(config)
    with quiet(), _Alone(), _latent_core():
        made = module("megatron.training.argument_utils").gpt_config_from_args(args, config=placed._from_args(args))
        groups = module("megatron.core.process_groups_config").ProcessGroupCollection.use_mpu_process_groups()
        cuda: dict[str, Any] = {"current_device": lambda: torch.device("meta"), "Stream": mock.Mock()}
        with torch.device("meta"), mock.patch.multiple(torch.cuda, **cuda):
            return module("megatron.training.models.gpt").GPTModelBuilder(made).build_model(groups)


def parameters(model: Any, config: Config) -> tuple[int, int]:
    """Of the model, without rows that pad the vocabulary, and of its MTP layers."""
    counts = {name: item.numel() for name, item in model.named_parameters()}
    mtp = sum(count for name, count in counts.items() if name.startswith("mtp."))
    spec = config.model
    padding = lay_out(config).traits.padded_vocab_size - spec.vocab_size
    tables = 1 if spec.tie_word_embeddings else 2
    return sum(counts.values()) - mtp - padding * spec.hidden_size * tables, mtp


class _Alone:
    """One process that is the whole world."""

    def __enter__(self) -> None:
        dist.init_process_group(backend="fake", store=FakeStore(), rank=0, world_size=1)
        module("megatron.core.parallel_state").initialize_model_parallel(create_gloo_process_groups=False)

    def __exit__(self, *_: object) -> None:
        module("megatron.core.parallel_state").destroy_model_parallel()
        dist.destroy_process_group()


def _latent_core() -> Any:
    """Attention's core, which has no matrices, takes the widths of latent attention as Transformer Engine's does."""
    core = module("megatron.core.transformer.dot_product_attention").DotProductAttention

    class Core(core):  # type: ignore[valid-type, misc]
        def __init__(self, *args: Any, k_channels: int = 0, v_channels: int = 0, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    provider = module("megatron.core.models.backends").LocalSpecProvider
    return mock.patch.object(provider, "core_attention", return_value=Core)
