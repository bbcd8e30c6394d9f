"""What every cost function reads: degrees as arrays that broadcast, and layers by stage.

Arrays over stages have them on the last axis; degrees are scalars of shape [], or [plans, 1] for many plans at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from compiler.costs import imbalance
from compiler.costs.arrays import Array, array, ceil_div
from compiler.costs.comm.buffers import buffer_bytes
from compiler.costs.constants import ACTIVATION_BYTES, BUFFERS_BYTES, KV_BYTES, SAVED_BYTES, STATE_BYTES
from compiler.costs.work.stages import Layers, chunks, layers
from compiler.costs.work.widths import ELEMENT_BYTES, Widths, products, widths
from compiler.expert_map import placed
from compiler.frameworks.adapter import adapter
from compiler.frozen import dataclass
from compiler.layout import loads
from compiler.layout.experts import ExpertBlocks
from compiler.layout.traits import Traits, by_degrees
from compiler.specs.config import Config
from compiler.specs.hardware import Hardware
from compiler.specs.model import Model
from compiler.specs.weights import WIDE
from compiler.specs.workload import Workload
from compiler.world import World


@dataclass(frozen=True, kw_only=True)
class Case(Traits):
    """A plan (or, by broadcasting, many) as the cost functions see it, with its framework's traits; every degree is at least 1.

    `chunks`: layers of the virtual stages, in order, where those of a rank are not alike. `buffer_bytes`: of a communicator.
    """

    model: Model
    workload: Workload
    hardware: Hardware
    sequence_parallel: bool
    tp: Array
    cp: Array
    pp: Array
    vpp: Array
    ep: Array
    etp: Array
    adp: Array
    edp: Array
    stages: Layers
    chunks: Layers | None = None
    buffer_bytes: float = BUFFERS_BYTES

    @property
    def ranks(self) -> Array:
        """Of an instance."""
        return self.tp * self.cp * self.adp * self.pp

    def of_a_plan(self, values: Array) -> Array:
        """One number a plan, without the axis of stages."""
        found = array(values + 0 * self.tp)
        return found[..., 0] if found.ndim else found

    @cached_property
    def running(self) -> Layers:
        """The layers that a pass runs: with MTP layers in training, without in serving (no speculative decoding)."""
        return self.stages.with_mtp(self.model.moe) if self.workload.train else self.stages

    @property
    def sequences(self) -> Array:
        """Sequences of one attention-DP rank, of the busiest one where they do not divide."""
        return ceil_div(self.workload.global_batch_size, self.adp)

    @property
    def micro_batch(self) -> Array:
        """Sequences of one micro-batch; no more than a rank has."""
        return np.minimum(self.workload.micro_batch_size, self.sequences)

    @property
    def micro_batches(self) -> Array:
        """Micro-batches of a training step, or of a batch of prompts, on one rank."""
        return ceil_div(self.sequences, np.maximum(self.micro_batch, 1))

    @property
    def local_experts(self) -> Array:
        """Experts of a layer on the fullest EP rank, redundant copies among them."""
        return ceil_div(self.model.num_experts + self.redundant_experts, self.ep)

    @property
    def widths(self) -> Widths:
        """Bytes of a weight of each class as it is kept for the forward pass."""
        return widths(self.model, self.workload)

    def products(self, kind: str) -> str:
        """What products of a class of weights are computed in."""
        return products(self.model, self.workload, kind)

    def multiplied(self, kind: str) -> str:
        """The same as kernels are told apart: where blocks of a served matrix have a scale each, FP8 is another kernel's, and MXFP4
        another than NVFP4's, or than INT4's where both are widened.
        """
        precision, form = self.products(kind), None if self.workload.train else self.model.stored.get(kind)
        if form is None or not self.model.keeps_quantization(self.workload.precision):
            return precision
        if form.scheme == "mxfp4":
            return "mxfp4"
        return "fp8_block" if form.block is not None and precision == "fp8" else precision

    def arithmetic(self, kind: str) -> str:
        """The unit that multiplies: engines leave activations that meet MXFP4 at eight bits."""
        precision = self.products(kind)
        return "fp8" if self.multiplied(kind) == "mxfp4" and precision not in WIDE else precision

    @property
    def wide(self) -> str:
        """Precision of activations and of the attention core."""
        return self.model.wide(self.workload.precision, train=self.workload.train)

    @property
    def computed_wide(self) -> Case:
        """The same with all layers in the precision of activations."""
        return replace(self, workload=replace(self.workload, precision=self.wide))

    def read_bytes(self, kind: str) -> float:
        """Bytes of a weight as its products read it: stored, or in their precision."""
        if not self.workload.train and self.model.keeps_quantization(self.workload.precision):
            return float(getattr(self.widths, kind, self.widths.rest))
        return ELEMENT_BYTES[self.products(kind)]

    @cached_property
    def wide_share(self) -> Array:
        """Of the layers of each stage, the part that computes in BF16."""
        return self.running.wide / np.maximum(1, self.running.layers)

    @property
    def saved_bytes(self) -> Array:
        """Bytes of an element that a product reads, as it is kept for the gradient of its weights, or of the adapter beside them."""
        kept = self.narrow_inputs and self.workload.train and self.workload.lora_rank is None
        narrow = SAVED_BYTES.get(self.workload.precision, self.activation_bytes) if kept else self.activation_bytes
        return narrow + (self.activation_bytes - narrow) * self.wide_share

    @property
    def gradient_bytes(self) -> float:
        """Bytes of a gradient as it is added up, and reduced."""
        return STATE_BYTES[self.workload.states.gradients]

    @property
    def activation_bytes(self) -> float:
        return ACTIVATION_BYTES[self.workload.precision]

    @property
    def kv_bytes(self) -> float:
        """Bytes of a cached key or value. Servers cache them as wide as activations unless they are told otherwise."""
        said = self.workload.kv_cache_precision
        if self.cached.element is not None:
            return self.cached.element
        if said is None and self.serves:
            return self.activation_bytes
        return KV_BYTES[said or self.workload.precision]

    @property
    def split(self) -> Array:
        """Ranks that share the tokens between TP regions: tp with sequence parallelism, else 1."""
        return self.tp if self.sequence_parallel else np.ones_like(self.tp)


def busiest(config: Config, experts: ExpertBlocks | None) -> float:
    """Load of the busiest expert-parallel rank over the mean: of measured loads where there are some, which alone need to know the
    experts, as the map places them where the server is started with one.
    """
    if config.experts.load is None or experts is None or not config.model.moe:
        return imbalance.factor(config.workload, config.model, config.degrees.ep)
    if experts.by_layer:
        _, grid = adapter(config.framework.name).grids(config)
        return float(placed(config, experts, grid).balance.imbalance.mean())
    layers = [layer for layer, moe in enumerate(config.model.moe_layers) if moe]
    return imbalance.measured(loads.read(config.experts.load), experts.blocks, layers)


def drafting(stages: Layers, workload: Workload) -> Layers:
    """A server holds multi-token-prediction layers where it drafts with them alone (vLLM, SGLang: the target's loader skips them)."""
    return stages if workload.train or workload.draft_tokens else stages.without_mtp


def case(world: World) -> Case:
    """The case of one plan. An expert grid that does not fit (refused elsewhere) counts as expert DP of at least 1."""
    config, traits, degrees = world.config, world.traits, world.degrees
    return shaped(
        config,
        traits.of({name: array(value) for name, value in by_degrees(traits).items()}),
        {name: array(getattr(degrees, name)) for name in DEGREES},
        layers(config.model, world.stages.layers, traits.mtp_stage, tuple(config.workload.wide_layers)),
        busiest(config, world.experts),
        chunks(world.stages, config, traits.mtp_stage),
    )


DEGREES = ("tp", "cp", "pp", "vpp", "ep", "etp", "adp")


def shaped(
    config: Config,
    traits: Traits,
    degrees: Mapping[str, Any],
    stages: Layers,
    busiest: Any,
    apart: Layers | None = None,
) -> Case:
    """The one place where a case is made, of one plan or of many: `degrees` and the traits that follow from them are of shape []
    or [plans, 1]; `busiest`: load of the busiest expert-parallel rank over the mean; `apart`: layers of unlike virtual stages.
    """
    workload, stage = config.workload, degrees["tp"] * degrees["cp"] * degrees["adp"]
    chosen = workload.sequence_parallel
    return Case(
        **{**vars(traits), **degrees},
        edp=np.maximum(1, stage // (degrees["etp"] * degrees["ep"])),
        model=config.model,
        workload=replace(workload, imbalance=busiest, imbalance_exponent=None),
        hardware=config.hardware,
        sequence_parallel=workload.train if chosen is None else chosen,
        stages=drafting(stages, workload),
        chunks=apart,
        buffer_bytes=buffer_bytes(config.environment),
    )
