"""States and activations in the host's memory, and attention without a fused kernel: options, and what they need."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks.megatron.options import fully_sharded, given, optimizer, source
from compiler.frameworks.megatron.pipeline import Option
from compiler.specs.config import Config

WHOLE = 0.01
"""Of a layer: how near to a whole number of layers a part of the activations must come, which is written in decimals."""

MODULES = "--fine-grained-activation-offloading"

KERNELS = {"NVTE_FLASH_ATTN": "0", "NVTE_FUSED_ATTN": "0", "NVTE_UNFUSED_ATTN": "1"}
"""What `--attention-backend unfused` sets itself, and asserts where it is set (models/common/language_module.py)."""


def options(config: Config) -> Iterator[Option]:
    """The parts of a workload that live on the host. The hybrid optimizer's update there does not overlap, as in the costs."""
    workload = config.workload
    if workload.optimizer_offload:
        yield ("--optimizer-cpu-offload",)
        yield "--optimizer-offload-fraction", f"{workload.optimizer_offload:g}"
    if workload.activation_offload:
        yield "--cpu-offloading-num-layers", str(round(_layers(config)))
    if workload.offload_modules:
        yield (MODULES,)
        yield "--offload-modules", *workload.offload_modules


def _layers(config: Config) -> float:
    """Layers whose activations the workload sends to the host."""
    return config.workload.activation_offload * config.model.num_hidden_layers


@rule
def declared(config: Config) -> Iterator[Check]:
    """Training only: in serving neither key has an effect."""
    if not config.workload.train:
        return
    if config.workload.optimizer_offload:
        yield from _optimizer(config)
    if config.workload.activation_offload:
        yield _activations(config)
    if config.workload.offload_modules or MODULES in given(config):
        yield _modules(config)
    if not config.workload.fused_attention:
        yield from _attention(config)


@rule
def _optimizer(config: Config) -> Iterator[Check]:
    """It is a path of the precision-aware optimizer, over the distributed optimizer's shards."""
    workload = config.workload
    part = f"workload.optimizer_offload={workload.optimizer_offload:g}"
    yield check(
        "megatron-optimizer-offload",
        holds=workload.distributed_optimizer or workload.zero_stage > 0,
        observed="distributed_optimizer=false",
        limit="distributed_optimizer=true",
        message=f"{part}: --optimizer-cpu-offload needs --use-precision-aware-optimizer, and that the distributed optimizer "
        f"({source(config, 'optimizer/optimizer_config.py')})",
        fix="write workload.distributed_optimizer=true, or leave workload.optimizer_offload out",
    )
    yield from _adam(config, part)
    yield check(
        "megatron-optimizer-offload-fsdp",
        holds=not fully_sharded(config),
        observed=f"zero_stage={workload.zero_stage}",
        limit="0 or 1",
        message=f"{part} with workload.zero_stage={workload.zero_stage}: {source(config, 'optimizer/distrib_optimizer.py')} leaves "
        "weights and gradients to Megatron-FSDP, before it deals its shards out to host and GPU",
        fix="write workload.zero_stage=1, or try a step first",
        otherwise=Status.WARN,
    )


@rule
def _adam(config: Config, part: str) -> Iterator[Check]:
    """Adam is the one optimizer that it has, and the delayed recipe the one whose FP8 weights it gathers."""
    user = given(config)
    name = optimizer(config)
    yield check(
        "megatron-optimizer-offload-adam",
        holds=name == "adam",
        observed=name,
        limit="adam",
        message=f"{part} with --optimizer {name}: --use-precision-aware-optimizer knows adam alone "
        f"({source(config, 'optimizer/optimizer_config.py')})",
        fix="leave --optimizer out, or workload.optimizer_offload",
    )
    recipe = "mxfp8" if config.workload.precision == "mxfp8" else user.get("--fp8-recipe", ("delayed",))[-1]
    yield check(
        "megatron-optimizer-offload-fp8",
        holds="--fp8-param-gather" not in user or recipe == "delayed",
        observed=recipe,
        limit="delayed",
        message=f"{part} with --fp8-param-gather and --fp8-recipe {recipe}: {source(config, 'arguments.py')} has the delayed recipe alone",
        fix="leave --fp8-param-gather out, or workload.optimizer_offload",
    )


def _activations(config: Config) -> Check:
    """A ValueError of TransformerConfig on every rank."""
    workload, degrees, layers = config.workload, config.degrees, config.model.num_hidden_layers
    found = _layers(config)
    count = min(max(round(found), 1), layers - 1)
    alone = degrees.pp == 1 and workload.recompute == "none"
    return check(
        "megatron-activation-offload",
        holds=alone and count > 0 and abs(found - count) < WHOLE,
        observed=f"{found:g} layers, pp={degrees.pp}, recompute={workload.recompute}",
        limit=f"1 to {layers - 1} whole layers, pp=1, recompute=none",
        message=f"workload.activation_offload={workload.activation_offload:g} is {found:g} of {layers} layers, with pp={degrees.pp} and "
        f"recompute={workload.recompute}: {source(config, 'transformer_config.py')} sends whole layers to the host "
        "(--cpu-offloading-num-layers), fewer than all, without a pipeline and without recomputation",
        fix=f"write workload.activation_offload={count / layers:g}"
        if alone and count > 0
        else "leave workload.activation_offload out",
    )


def _modules(config: Config) -> Check:
    """Assertions of TransformerConfig about modules that send what they keep to the host."""
    workload, modules = config.workload, set(config.workload.offload_modules)
    experts = modules & {"expert_fc1", "moe_act", "mlp_norm"}
    needs = {
        "a module": bool(modules),
        "attn_proj with core_attn": "attn_proj" not in modules or "core_attn" in modules,
        "activation_offload=0": not workload.activation_offload,
        "a model with experts": config.model.moe or not experts,
        "no recompute_modules=moe": "moe" not in workload.recompute_modules or not experts - {"mlp_norm"},
        "no recompute=full": workload.recompute != "full",
    }
    lacking = [need for need, holds in needs.items() if not holds]
    listed = ",".join(workload.offload_modules)
    return check(
        "megatron-offload-modules",
        holds=not lacking,
        observed=listed,
        limit=", ".join(lacking or needs),
        message=f"workload.offload_modules=[{listed}] needs {' and '.join(lacking or needs)} ({source(config, 'transformer_config.py')})",
        fix="leave workload.offload_modules out",
    )


@rule
def _attention(config: Config) -> Iterator[Check]:
    """The kernel is Transformer Engine's, which picks it in the first forward pass."""
    cp = config.degrees.cp
    yield check(
        "megatron-unfused-attention",
        holds=cp == 1,
        observed=f"cp={cp}",
        limit="cp=1",
        message=f"workload.fused_attention=false with cp={cp}: --attention-backend unfused leaves Transformer Engine no kernel, since its "
        f"unfused one has no context parallelism ({source(config, 'models/common/language_module.py')} turns the others off)",
        fix="write parallel.cp=1, or leave workload.fused_attention out",
    )
    variables = {**config.site.environment, **config.launch.environment}
    other = [f"{name}={variables[name]}" for name, value in KERNELS.items() if variables.get(name, value) != value]
    yield check(
        "megatron-attention-variables",
        holds=not other,
        observed=", ".join(other) or "none",
        limit="none",
        message=f"workload.fused_attention=false with {', '.join(other) or 'no variable'} in the environment: "
        f"{source(config, 'models/common/language_module.py')} wants {', '.join('='.join(pair) for pair in KERNELS.items())}",
        fix="leave the variable out of launch.environment and site.environment",
    )
