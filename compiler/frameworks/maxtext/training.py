"""MaxText's rules about layers, stages, batches and precision: `configs/types.py` where no other file is named."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks.maxtext.blocks import decoder_block
from compiler.frameworks.maxtext.emit import batch, given, micro_batches
from compiler.frameworks.maxtext.model import DTYPES, interleaved
from compiler.specs.config import Config


@rule
def declared(config: Config, name: str) -> Iterator[Check]:
    """`name` is the framework with its version."""
    yield from _experts(config, name)
    yield _block(config, name)
    if config.degrees.pp > 1:
        yield from _pipeline(config, name)
    if config.workload.train:
        yield from _batch(config, name)
    if config.degrees.cp > 1:
        yield from _context(config, name)
    yield check(
        "maxtext-precision",
        holds=config.workload.precision in DTYPES,
        observed=config.workload.precision,
        limit="fp32, bf16, fp16 or fp8",
        message=f"{name} computes in fp32, bf16, fp16 or fp8 (dtype, quantization), and workload.precision is {config.workload.precision}",
        fix="write workload.precision=fp8",
    )


@rule
def _experts(config: Config, name: str) -> Iterator[Check]:
    """Which layers have experts, and how wide those are."""
    spec = config.model
    step = interleaved(spec) if decoder_block(spec) == "llama4" else 1
    layers = range(spec.num_hidden_layers)
    regular = [layer >= spec.first_k_dense_replace and (layer + 1) % step == 0 for layer in layers]
    yield check(
        "maxtext-moe-layers",
        holds=not spec.moe or list(spec.moe_layers) == regular,
        observed=f"{sum(spec.moe_layers)} of {spec.num_hidden_layers}",
        limit="all after first_k_dense_replace",
        message=f"{name} has experts in every layer after the first first_num_dense_layers={spec.first_k_dense_replace}; "
        f"the model has them in {sum(spec.moe_layers)} of {spec.num_hidden_layers} layers",
        fix="write model.moe_layer_freq=1",
    )
    size = spec.expert_size if spec.moe else 1
    yield check(
        "maxtext-shared-experts",
        holds=not spec.moe or spec.shared_size % size == 0,
        observed=f"{spec.shared_size} % {size} = {spec.shared_size % size}",
        limit="0",
        message=f"shared experts of {name} are as wide as routed ones ({size}), and the model's are {spec.shared_size} together",
        fix=f"write model.shared_expert_intermediate_size as a multiple of {size}",
    )


def _block(config: Config, name: str) -> Check:
    block = given(config).get("decoder_block", decoder_block(config.model))
    return check(
        "maxtext-decoder-block",
        holds=block != "deepseek" or config.model.mla or "decoder_block" in given(config),
        observed=block,
        limit="one that fits",
        message=f"decoder_block={block} is the only one of {name} with shared experts or leading dense layers, and it has latent "
        "attention, which the model has not",
        fix="name the block in framework.args, as in ['decoder_block=...']",
        otherwise=Status.WARN,
    )


@rule
def _pipeline(config: Config, name: str) -> Iterator[Check]:
    spec, workload, stages = config.model, config.workload, config.parallel.stages
    yield check(
        "maxtext-stages",
        holds=not stages or len(set(stages)) == 1,
        observed=stages or "even",
        limit="even",
        message=f"stages of {name} hold the same number of layers (num_layers_per_pipeline_stage), and parallel.stages is {stages}",
        fix=f"leave parallel.stages out, with pp*vpp a divisor of {spec.num_hidden_layers}",
    )
    yield check(
        "maxtext-dense-layers",
        holds=not spec.first_k_dense_replace,
        observed=f"first_k_dense_replace={spec.first_k_dense_replace}",
        limit="0",
        message=f"{name} keeps the first {spec.first_k_dense_replace} dense layers out of the pipeline, on every stage "
        "(layers/nnx_decoders.py), and pipelines the others only",
        fix="write pp1",
    )
    yield from _filled(config, name)
    yield check(
        "maxtext-schedule",
        holds=not workload.train or workload.schedule in ("1f1b", "interleaved"),
        observed=workload.schedule,
        limit="1f1b or interleaved",
        message=f"the pipeline of {name} (layers/pipeline.py) is a loop that XLA differentiates, circular with vpp; it has no "
        f"{workload.schedule}",
        fix="write workload.schedule=1f1b",
    )


@rule
def _filled(config: Config, name: str) -> Iterator[Check]:
    """Micro-batches run in rounds of as many as there are stages."""
    degrees, workload = config.degrees, config.workload
    micro = micro_batches(config)
    yield check(
        "maxtext-micro-batches",
        holds=micro > 0 and micro % degrees.pp == 0,
        observed=f"{micro} % {degrees.pp} = {micro % degrees.pp}",
        limit="0",
        message=f"num_pipeline_microbatches={micro} must be a multiple of {degrees.pp} stages in {name}"
        + ("" if workload.train else f"; decoding takes {degrees.pp} of them, smaller than adp can share out"),
        fix=f"write workload.global_batch_size={degrees.pp * degrees.adp * workload.micro_batch_size}",
        otherwise=Status.FAIL if workload.train else Status.WARN,
    )
    if given(config).get("pipeline_delay_activation_forwarding", "").lower() == "true":
        least = 2 * degrees.pp
        yield check(
            "maxtext-delay",
            holds=micro >= least,
            observed=micro,
            limit=f"{least} or more",
            message=f"pipeline_delay_activation_forwarding of {name} wants 2*{degrees.pp} micro-batches or more, and there are {micro}",
            fix=f"write workload.global_batch_size={least * degrees.adp * workload.micro_batch_size}, or leave it out",
        )


@rule
def _context(config: Config, name: str) -> Iterator[Check]:
    """Two ways of splitting a sequence are for TPUs."""
    strategy = given(config).get("context_parallel_strategy", "all_gather").lower()
    yield check(
        "maxtext-context-strategy",
        holds=strategy in ("all_gather", "ring"),
        observed=strategy,
        limit="all_gather or ring",
        message=f"context_parallel_strategy={strategy} with cp={config.degrees.cp}: {name} has all_gather and ring on GPUs, and "
        "ulysses and usp on TPUs only",
        fix="leave context_parallel_strategy out",
    )


@rule
def _batch(config: Config, name: str) -> Iterator[Check]:
    found, precision = batch(config), config.workload.precision
    steps, share = found["gradient_accumulation_steps"], found["per_device_batch_size"]
    yield check(
        "maxtext-fp8-accumulation",
        holds=precision != "fp8" or steps == 1,
        observed=steps,
        limit=1,
        message=f"{name} refuses fp8 with gradient_accumulation_steps={steps}",
        fix=f"write workload.micro_batch_size={config.workload.micro_batch_size * steps}, or precision=bf16",
    )
    yield check(
        "maxtext-fractional-batch",
        holds=share >= 1,
        observed=f"{share:g}",
        limit="1 or more",
        message=f"per_device_batch_size={share:g}: {name} loads {config.degrees.world_size} sequences each step, one a device, and trains on "
        f"{share:.0%} of them; the others are read and dropped",
        fix="write a larger workload.micro_batch_size, or feed it a data set that repeats",
        otherwise=Status.WARN,
    )
