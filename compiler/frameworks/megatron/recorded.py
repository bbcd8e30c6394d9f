"""What Megatron builds for a plan: arguments parsed by its own parser, groups recorded instead of created."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

from compiler.frameworks.emission import Emission
from compiler.frameworks.megatron import layout, pipeline
from compiler.frameworks.megatron.installed import module, quiet
from compiler.frameworks.megatron.options import context_levels, optimizer_instances
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.world import World

Groups = dict[str, list[list[int]]]
"""Description -> groups in order of creation."""


@dataclass(frozen=True)
class Refused:
    """Why Megatron does not take an argument list."""

    reason: str

    @classmethod
    def by(cls, error: Exception) -> Refused:
        """In one line of a reasonable length."""
        return cls(" ".join(str(error).split())[:200] or type(error).__name__)


def parsed(emission: Emission, world_size: int) -> Any:
    """The namespace after parse_args and validate_args, as rank 0 has it; Refused where they stop."""
    arguments = module("megatron.training.arguments")
    words = [item if isinstance(item, str) else item.text for item in emission.arguments]
    environment = {"RANK": "0", "WORLD_SIZE": str(world_size), **_text(emission)}
    said = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["pretrain_gpt.py", *words]),
        mock.patch.dict(os.environ, environment),
        mock.patch.multiple(arguments, get_device_arch_version=lambda: 9, is_te_min_version=lambda *_, **__: True),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        quiet(),
    ):
        try:
            args = arguments.parse_args(_server_arguments)
            arguments.validate_args(args, {})
        except SystemExit:
            return Refused(said.getvalue().strip().splitlines()[-1])
        except (AssertionError, ValueError, RuntimeError) as error:
            return Refused.by(error)
    return args


def _text(emission: Emission) -> dict[str, str]:
    return {name: value if isinstance(value, str) else value.text for name, value in emission.environment.items()}


def _server_arguments(parser: Any) -> Any:
    """pretrain_gpt.py and the server add arguments of their own, none of which a plan writes."""
    return parser


def settings(args: Any) -> dict[str, Any]:
    """Arguments of initialize_model_parallel, as training/initialize.py takes them from the namespace."""
    names = ("gtp_weight_remat_size", "expert_gtp_weight_remat_size")
    remat = {name.replace("_weight", ""): getattr(args, name) for name in names if hasattr(args, name)}
    return {
        **remat,
        "tensor_model_parallel_size": args.tensor_model_parallel_size,
        "pipeline_model_parallel_size": args.pipeline_model_parallel_size,
        "virtual_pipeline_model_parallel_size": args.virtual_pipeline_model_parallel_size,
        "context_parallel_size": args.context_parallel_size,
        "hierarchical_context_parallel_sizes": args.hierarchical_context_parallel_sizes,
        "expert_model_parallel_size": args.expert_model_parallel_size,
        "expert_tensor_parallel_size": args.expert_tensor_parallel_size,
        "num_distributed_optimizer_instances": args.num_distributed_optimizer_instances,
        "order": layout.MAPPED if args.use_tp_pp_dp_mapping else layout.DEFAULT,
    }


def planned_settings(config: Config) -> dict[str, Any]:
    """The same from the plan, for a package without megatron.training."""
    degrees = config.degrees
    return {
        "tensor_model_parallel_size": degrees.tp,
        "pipeline_model_parallel_size": degrees.pp,
        "virtual_pipeline_model_parallel_size": degrees.vpp if degrees.vpp > 1 else None,
        "context_parallel_size": degrees.cp,
        "hierarchical_context_parallel_sizes": list(context_levels(config)) or None,
        "expert_model_parallel_size": degrees.ep,
        "expert_tensor_parallel_size": layout.expert_tensor_parallel(config),
        "num_distributed_optimizer_instances": optimizer_instances(config),
        "order": layout.order(config) or layout.DEFAULT,
    }


def groups(world: World, given: dict[str, Any]) -> Groups | Refused:
    """Every group of the world: each rank walks through all of them, so one walk shows them all."""
    state = module("megatron.core.parallel_state")
    found: Groups = {}

    def record(ranks: Sequence[int], *_: Any, group_desc: str = "", **__: Any) -> object:
        found.setdefault(group_desc, []).append(list(ranks))
        return SimpleNamespace(size=lambda: len(ranks), rank=lambda: 0)

    with quiet(), _process(world.size), mock.patch.object(state, "create_group", record):
        try:
            state.initialize_model_parallel(
                **given, create_gloo_process_groups=False, get_embedding_ranks=embedding_ranks(world.config)
            )
        except (AssertionError, RuntimeError, ValueError) as error:
            return Refused.by(error)
        finally:
            state.destroy_model_parallel()
    return found


@contextlib.contextmanager
def _process(world_size: int) -> Any:
    """Rank 0 of a world, as far as torch.distributed is asked."""
    import torch.distributed as dist

    answers: dict[str, Any] = {
        "is_initialized": lambda *_: True,
        "get_world_size": lambda *_: world_size,
        "get_rank": lambda *_: 0,
    }
    with mock.patch.multiple(dist, **answers):
        yield


def embedding_ranks(config: Config) -> Callable[..., list[int]] | None:
    """The rule of pretrain_gpt.py, which is in no wheel; None: the library's own, which the server leaves as it is."""
    if not config.workload.train:
        return None
    model = config.model
    text, stages = pipeline.layout(config), module("megatron.core.transformer.pipeline_parallel_layer_layout")
    placed = text and stages.PipelineParallelLayerLayout(text, config.degrees.pp)
    mtp = SimpleNamespace(mtp_num_layers=model.num_nextn_predict_layers or None, pipeline_model_parallel_layout=placed)
    mtp_ranks = module("megatron.core.transformer.multi_token_prediction").get_mtp_ranks

    def ranks(pipeline: list[int], *_: Any) -> list[int]:
        if len(pipeline) == 1:
            return pipeline[:1]
        tied = pipeline[-1:] if model.tie_word_embeddings else []
        return sorted({pipeline[0], *tied, *mtp_ranks(pipeline, mtp)})

    return ranks
