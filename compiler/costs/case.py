"""What every cost function reads: degrees as arrays that broadcast, and layers by stage.

Arrays over stages have them on the last axis; degrees are scalars of shape [], or [plans, 1] for many plans at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from compiler.costs import imbalance
from compiler.costs.arrays import Array, array, ceil_div
from compiler.costs.constants import ACTIVATION_BYTES, KV_BYTES
from compiler.costs.servers import SERVERS, WHOLE, Room, room
from compiler.costs.widths import ELEMENT_BYTES, Widths, products, widths
from compiler.layout import loads
from compiler.specs.config import Framework
from compiler.specs.hardware import Hardware
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from compiler.world import World


@dataclass(frozen=True)
class Layers:
    """How many layers of each kind a stage holds (`moe` and `sliding` are among `layers`), arrays over stages.

    `first` and `last` are 1 where the stage has the embedding, and the LM head with the MTP layers, `mtp` of them.
    """

    layers: Array
    moe: Array
    sliding: Array
    first: Array
    last: Array
    mtp: Array

    @property
    def dense(self) -> Array:
        return self.layers - self.moe

    @property
    def full(self) -> Array:
        """Layers whose attention has no window."""
        return self.layers - self.sliding

    def with_mtp(self, moe: bool) -> Layers:
        """The same with MTP layers among them: full attention, and experts where the model has some."""
        return replace(self, layers=self.layers + self.mtp, moe=self.moe + self.mtp * moe)


def layers(model: Model, stages: tuple[tuple[int, ...], ...]) -> Layers:
    """Count the layers of stages, given as layer ids; ids that the model does not have count as plain layers."""
    moe, windows, count = model.moe_layers, model.windows, len(stages)
    slides = [window is not None for window in windows]
    ends = np.eye(count)
    last = ends[count - 1]
    return Layers(
        layers=array([len(ids) for ids in stages]),
        moe=array([sum(moe[i] for i in ids if i < len(moe)) for ids in stages]),
        sliding=array([sum(slides[i] for i in ids if i < len(slides)) for ids in stages]),
        first=ends[0],
        last=last,
        mtp=last * model.num_nextn_predict_layers,
    )


@dataclass(frozen=True)
class Case:
    """A plan (or, by broadcasting, many) as the cost functions see it; every degree is at least 1.

    `rebuilt`: pieces of a layer that backward makes again, by Megatron's names ("layernorm", "mla_up_proj", "mlp", "moe_act"), or
    "products" where every second one is kept. `fused_loss`: no copy of the logits in the precision of activations, and few
    passes over them. `pipelined_tp`: hidden states are gathered and scattered piece by piece beside their GEMMs (async TP of torch).
    `room`: what the server makes of memory. `copies`: of what ZeRO cuts.
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
    framework: str = "none"
    room: Room = WHOLE
    rebuilt: tuple[str, ...] = ()
    fused_loss: bool = True
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
    def local_experts(self) -> Array:
        """Experts of a layer on the fullest EP rank."""
        return ceil_div(self.model.num_experts, self.ep)

    @property
    def widths(self) -> Widths:
        """Bytes of a weight of each class as it is kept for the forward pass."""
        return widths(self.model, self.workload)

    @property
    def weight_bytes(self) -> float:
        """Bytes of a trained weight, as wide as activations are."""
        return self.activation_bytes

    def products(self, kind: str) -> str:
        """What products of a class of weights are computed in."""
        return products(self.model, self.workload, kind)

    @property
    def wide(self) -> str:
        """Precision of activations and of the attention core."""
        return self.model.wide(self.workload.precision, train=self.workload.train)

    def read_bytes(self, kind: str) -> float:
        """Bytes of a weight as its products read it: stored, or in their precision."""
        if not self.workload.train and self.model.keeps_quantization(self.workload.precision):
            return float(getattr(self.widths, kind, self.widths.rest))
        return ELEMENT_BYTES[self.products(kind)]

    @property
    def saves_products(self) -> bool:
        """Whether layers keep every second product, torchtitan's selective recomputation."""
        selective = self.workload.train and self.workload.recompute == "selective"
        return "products" in self.rebuilt or (selective and self.framework == "torchtitan")

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


PLAIN_LOSS = ("deepspeed", "torchtitan")
"""Frameworks whose loss passes over the logits in steps of its own, for all that they are told here."""

LOSS_FUSION = "--cross-entropy-loss-fusion"
"""What Megatron-LM has to be given to fuse it."""


def fuses_loss(framework: Framework) -> bool:
    """Whether a plan's cross entropy is one kernel, as it is launched."""
    if framework.name == "megatron":
        return LOSS_FUSION in framework.args
    return framework.name not in PLAIN_LOSS


def busiest(world: World) -> float:
    """Load of the busiest expert-parallel rank over the mean: of measured loads where there are some."""
    config = world.config
    if config.experts.load is None or not config.model.moe:
        return float(imbalance.factor(config.workload, config.model, array(world.degrees.ep)))
    layers = [layer for layer, moe in enumerate(config.model.moe_layers) if moe]
    return imbalance.measured(loads.read(config.experts.load), world.experts.blocks, layers)


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
        stages=layers(config.model, world.stages.layers),
        framework=config.framework.name,
        room=room(config.framework) or WHOLE,
        fused_loss=fuses_loss(config.framework),
        copies=world.copies,
    )
