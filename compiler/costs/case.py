"""What every cost function reads: degrees as arrays that broadcast, and layers by stage.

Arrays over stages have them on the last axis; degrees are scalars of shape [], or [plans, 1] for many plans at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from compiler.costs import imbalance
from compiler.costs.arrays import Array, array, ceil_div
from compiler.costs.constants import ACTIVATION_BYTES, KV_BYTES, SAVED_BYTES, STATE_BYTES
from compiler.costs.servers import SERVERS, WHOLE, Room, room
from compiler.costs.stages import Layers, chunks, layers
from compiler.costs.traits import LOSS_CHUNKS, WIDE_INPUTS, fuses_loss, pipelines_tp, rebuilt
from compiler.costs.widths import ELEMENT_BYTES, Widths, products, widths
from compiler.layout import loads
from compiler.specs.hardware import Hardware
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from compiler.world import World


@dataclass(frozen=True)
class Case:
    """A plan (or, by broadcasting, many) as the cost functions see it; every degree is at least 1.

    `rebuilt`: modules of a layer that backward runs again, or "products" where every second one is kept. `narrow_inputs`: products
    in FP8 and FP4 keep what they read as narrow as they read it (Transformer Engine). `fused_loss`: no copy of the logits in the
    precision of activations, and few passes over them. `loss_chunks`: parts of the sequence that the head and the loss run through
    one after another. `pipelined_tp`: hidden states are gathered and scattered piece by piece beside their GEMMs (async TP of torch).
    `room`: what the server makes of memory. Decode of more sequences than `graph_batch` on a rank is launched kernel by kernel.
    `combine_bytes`: of an element that experts send back; None for as many as activations have. `group`: micro-batches that a
    virtual stage has in a row, pp where it is None. `chunks`: layers of the virtual stages, in order, where those of a rank are
    not alike. `copies`: of what ZeRO cuts.
    """

    model: Model
    workload: Workload
    hardware: Hardware
    sequence_parallel: bool
    padded_vocab_size: Array
    tp: Array
    cp: Array
    pp: Array
    vpp: Array
    ep: Array
    etp: Array
    adp: Array
    edp: Array
    stages: Layers
    group: Array | None = None
    chunks: Layers | None = None
    framework: str = "none"
    room: Room = WHOLE
    redundant_experts: int = 0
    graph_batch: float = math.inf
    combine_bytes: float | None = None
    rebuilt: tuple[str, ...] = ()
    narrow_inputs: bool = True
    fused_loss: bool = True
    loss_chunks: float = 1.0
    pipelined_tp: bool = False
    copies: int = 1

    @property
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
    def in_a_row(self) -> Array:
        """Micro-batches that go through a virtual stage before the next one has them."""
        return self.pp if self.group is None else self.group

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

    @property
    def wide_share(self) -> Array:
        """Of the layers of each stage, the part that computes in BF16."""
        return self.running.wide / np.maximum(1, self.running.layers)

    @property
    def saved_bytes(self) -> Array:
        """Bytes of an element that a product reads, as it is kept for the gradient of its weights."""
        kept = self.narrow_inputs and self.workload.train
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
        if said is None and self.framework in SERVERS:
            return self.activation_bytes
        return KV_BYTES[said or self.workload.precision]

    @property
    def split(self) -> Array:
        """Ranks that share the tokens between TP regions: tp with sequence parallelism, else 1."""
        return self.tp if self.sequence_parallel else np.ones_like(self.tp)


def busiest(world: World) -> float:
    """Load of the busiest expert-parallel rank over the mean: of measured loads where there are some."""
    config = world.config
    if config.experts.load is None or not config.model.moe:
        return float(imbalance.factor(config.workload, config.model, array(world.degrees.ep)))
    layers = [layer for layer, moe in enumerate(config.model.moe_layers) if moe]
    return imbalance.measured(loads.read(config.experts.load), world.experts.blocks, layers)


def drafting(stages: Layers, workload: Workload) -> Layers:
    """A server holds multi-token-prediction layers where it drafts with them alone (vLLM, SGLang: the target's loader skips them)."""
    return stages if workload.train or workload.draft_tokens else stages.without_mtp


def case(world: World) -> Case:
    """The case of one plan. An expert grid that does not fit (refused elsewhere) counts as expert DP of at least 1."""
    config, degrees = world.config, world.degrees
    return Case(
        model=config.model,
        workload=replace(config.workload, imbalance=busiest(world), imbalance_exponent=None),
        hardware=config.hardware,
        sequence_parallel=config.sequence_parallel,
        padded_vocab_size=array(world.padded_vocab_size),
        tp=array(degrees.tp),
        cp=array(degrees.cp),
        pp=array(degrees.pp),
        vpp=array(degrees.vpp),
        ep=array(degrees.ep),
        etp=array(degrees.etp),
        adp=array(degrees.adp),
        edp=array(max(1, degrees.edp)),
        stages=drafting(
            layers(config.model, world.stages.layers, world.mtp_stage, config.workload.wide_layers), config.workload
        ),
        group=array(world.interleaved_group),
        chunks=chunks(world),
        framework=config.framework.name,
        room=room(config.framework) or WHOLE,
        redundant_experts=world.experts.redundant,
        graph_batch=math.inf if world.graph_batch is None else world.graph_batch,
        combine_bytes=world.combine_bytes,
        rebuilt=rebuilt(config.workload, config.framework.name),
        narrow_inputs=config.framework.name not in WIDE_INPUTS,
        fused_loss=fuses_loss(config.framework),
        pipelined_tp=pipelines_tp(config.framework),
        loss_chunks=LOSS_CHUNKS.get(config.framework.name, 1.0),
        copies=world.copies,
    )
