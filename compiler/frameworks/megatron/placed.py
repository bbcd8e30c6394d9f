"""Layers, experts and vocabulary as Megatron's own functions deal them out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

from compiler.frameworks.megatron import options, pipeline, stage_args
from compiler.frameworks.megatron.installed import module, quiet
from compiler.frameworks.megatron.options import number
from compiler.frameworks.megatron.recorded import Refused
from compiler.frameworks.proof import Finding, compared
from compiler.frameworks.versions import Version, version
from compiler.specs.config import Config
from compiler.world import World


def findings(world: World, args: Any) -> Iterator[Finding]:
    """`args` is the parsed namespace, None for a package without a parser."""
    config = configured(world, args)
    if isinstance(config, Refused):
        yield Finding("TransformerConfig", equal=False, planned="accepted", found=config.reason)
        return
    yield compared("layers of each stage", [list(stage) for stage in world.stages.chunks], layers(world, config))
    yield from _vocabulary(world)
    if args is not None:
        yield from _moe_layers(world, config)
    if world.config.model.moe:
        yield compared(
            "experts of each ep rank", [list(block) for block in world.experts.blocks], experts(world, config)
        )


def _vocabulary(world: World) -> Iterator[Finding]:
    """Rows of the embedding table, from the function that the tokenizers call, where the wheel has one."""
    name = found(world.config).facts.get("tokenizers")
    if name is None:
        return
    given = SimpleNamespace(
        make_vocab_size_divisible_by=number(world.config, "--make-vocab-size-divisible-by", 128),
        tensor_model_parallel_size=world.degrees.tp,
        rank=0,
    )
    size = module(name).vocab_size_with_padding(world.config.model.vocab_size, given, logging_enabled=False)
    yield compared("padded vocabulary", world.traits.padded_vocab_size, size)


def found(config: Config) -> Version:
    """The version of the package that is imported, and its facts."""
    number_ = str(module("megatron.core.package_info").__version__)
    return version(replace(config, framework=replace(config.framework, version=number_)))


def configured(world: World, args: Any) -> Any:
    """The TransformerConfig of a plan; Refused where it raises."""
    try:
        with quiet():
            return _from_args(args) if args is not None else _from_plan(world)
    except (AssertionError, ValueError) as error:
        return Refused.by(error)


def _from_args(args: Any) -> Any:
    """The TransformerConfig of the arguments; kernels of Transformer Engine, which need a GPU, are taken for granted."""
    transformer = module("megatron.core.transformer.transformer_config")
    args.apply_rope_fusion = False
    with (
        mock.patch.multiple(transformer, is_te_min_version=lambda *_, **__: True),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        return module("megatron.training.arguments").core_transformer_config_from_args(args)


def _from_plan(world: World) -> Any:
    """The part of a TransformerConfig that decides stages and experts."""
    import torch

    model, degrees = world.config.model, world.degrees
    given = {flag: values for flag, *values in pipeline.options(world.config)} | options.given(world.config)
    first, last = (given.get(flag, (None,))[0] for flag in (stage_args.FIRST, stage_args.LAST))
    transformer = module("megatron.core.transformer.transformer_config")
    return transformer.TransformerConfig(
        num_layers=model.num_hidden_layers,
        hidden_size=model.hidden_size,
        num_attention_heads=model.num_attention_heads,
        num_query_groups=model.kv_heads,
        tensor_model_parallel_size=degrees.tp,
        pipeline_model_parallel_size=degrees.pp,
        virtual_pipeline_model_parallel_size=degrees.vpp if degrees.vpp > 1 else None,
        pipeline_model_parallel_layout=pipeline.layout(world.config),
        account_for_embedding_in_pipeline_split=stage_args.EMBEDDING in given,
        account_for_loss_in_pipeline_split=stage_args.LOSS in given,
        num_layers_in_first_pipeline_stage=first and int(first),
        num_layers_in_last_pipeline_stage=last and int(last),
        expert_model_parallel_size=degrees.ep,
        expert_tensor_parallel_size=degrees.etp,
        num_moe_experts=model.num_experts or None,
        mtp_num_layers=model.num_nextn_predict_layers or None,
        add_bias_linear=False,
        pipeline_dtype=torch.bfloat16,
    )


def layers(world: World, config: Any) -> list[list[tuple[int, int]]]:
    """First and last layer of each chunk of each stage."""
    state = module("megatron.core.parallel_state")
    build = module("megatron.core.transformer.transformer_block").get_num_layers_to_build
    offset = module("megatron.core.transformer.transformer_layer").get_transformer_layer_offset
    found = []
    try:
        virtual = config.virtual_pipeline_model_parallel_size
        state.set_virtual_pipeline_model_parallel_world_size(virtual)
        state.set_pipeline_model_parallel_world_size(world.degrees.pp)
        for stage in range(world.degrees.pp):
            state.set_pipeline_model_parallel_rank(stage)
            chunks = range(virtual) if virtual else (None,)
            spans = [(offset(config, chunk, stage), build(config, chunk, stage)) for chunk in chunks]
            found.append([(first, first + count - 1) for first, count in spans])
    finally:
        state.set_pipeline_model_parallel_rank(None)
        state.set_pipeline_model_parallel_world_size(None)
        state.set_virtual_pipeline_model_parallel_world_size(None)
    return found


def _moe_layers(world: World, config: Any) -> Iterator[Finding]:
    """Which layers route to experts; an integer is a period."""
    if not world.config.model.moe:
        return
    freq, count = config.moe_layer_freq, world.config.model.num_hidden_layers
    marks = [int(layer % freq == 0) for layer in range(count)] if isinstance(freq, int) else list(freq)
    yield compared("MoE layers", [int(routed) for routed in world.config.model.moe_layers], marks)


def experts(world: World, config: Any) -> list[list[tuple[int, int]]]:
    """Ranges of expert ids, from the constructor of a MoE layer on each ep rank."""
    import torch.distributed as dist

    base = module("megatron.core.transformer.moe.moe_layer").BaseMoELayer
    layer = type("Layer", (base,), {"forward": None})
    found = []
    with quiet(), mock.patch.object(dist, "is_initialized", return_value=True):
        for rank in range(world.degrees.ep):
            group = SimpleNamespace(size=lambda: world.degrees.ep, rank=lambda at=rank: at)
            ids = layer(config, 1, SimpleNamespace(ep=group, tp=group, expt_tp=group)).local_expert_indices
            found.append([(ids[0], ids[-1])] if ids == list(range(ids[0], ids[-1] + 1)) else [(i, i) for i in ids])
    return found
