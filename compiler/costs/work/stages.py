"""How many layers of each kind the stages and the virtual stages of a plan hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.layout.stages import Stages
from compiler.specs.config import Config
from compiler.specs.model import Model


@dataclass(frozen=True)
class Layers:
    """How many layers of each kind a stage holds (`moe` and `sliding` are among `layers`), arrays over stages.

    `first` and `last` are 1 where the stage has the embedding, and the LM head; `mtp` are its MTP layers. `wide` of its layers
    compute in BF16 where others do in FP8.
    """

    layers: Array
    moe: Array
    sliding: Array
    first: Array
    last: Array
    mtp: Array
    wide: Array

    @property
    def dense(self) -> Array:
        return self.layers - self.moe

    @property
    def heads(self) -> Array:
        """How often a stage's LM head runs: for the model, and for every MTP layer, wherever that is."""
        return array(self.last * (1 + self.mtp.sum(axis=-1, keepdims=True)))

    @property
    def full(self) -> Array:
        """Layers whose attention has no window."""
        return self.layers - self.sliding

    def with_mtp(self, moe: bool) -> Layers:
        """The same with MTP layers among them: full attention, and experts where the model has some."""
        return replace(self, layers=self.layers + self.mtp, moe=self.moe + self.mtp * moe)


def layers(model: Model, stages: tuple[tuple[int, ...], ...], mtp_stage: int = -1, wide: Sequence[int] = ()) -> Layers:
    """Count the layers of stages, given as layer ids; ids that the model does not have count as plain layers. `mtp_stage`: the
    stage of the MTP layers, which with virtual stages counts all of them from the last. `wide`: how many of the first and of the
    last layers compute in BF16 whatever the others do.
    """
    moe, windows, count = model.moe_layers, model.windows, len(stages)
    before, after = (wide[0], model.num_hidden_layers - wide[-1]) if wide else (0, model.num_hidden_layers)
    slides = [window is not None for window in windows]
    ends = np.eye(count)
    last = ends[count - 1]
    return Layers(
        layers=array([len(ids) for ids in stages]),
        moe=array([sum(moe[i] for i in ids if i < len(moe)) for ids in stages]),
        sliding=array([sum(slides[i] for i in ids if i < len(slides)) for ids in stages]),
        first=ends[0],
        last=last,
        mtp=ends[mtp_stage % count] * model.num_nextn_predict_layers,
        wide=array([sum(i < before or i >= after for i in ids) for ids in stages]),
    )


def chunks(found: Stages, config: Config, mtp_stage: int) -> Layers | None:
    """Layers of each virtual stage, in the order in which a micro-batch meets them; None where the chunks of each rank are alike."""
    if all(len(set(counts)) == 1 for counts in found.counts):
        return None
    ids = [tuple(range(first, last + 1)) for row in zip(*found.chunks, strict=True) for first, last in row]
    return layers(config.model, tuple(ids), mtp_stage, config.workload.wide_layers)
