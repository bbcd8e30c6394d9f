"""How many layers of each kind the stages and the virtual stages of a plan hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from compiler.blocks.block import Block
from compiler.blocks.stack import Stack, stack
from compiler.costs.arrays import Array, array
from compiler.costs.remembered import remembered
from compiler.frozen import dataclass
from compiler.layout.stages import Stages
from compiler.specs.config import Config
from compiler.specs.model import Model

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True)
class Layers:
    """How many layers of each kind a stage holds (`moe` and `sliding` are among `layers`), arrays over stages.

    `first` and `last` are 1 where the stage has the embedding, and the LM head; `mtp` are its MTP layers. `wide` of its layers
    compute in BF16 where others do in FP8. `blocks`: how many of each block, `alike`: how many layers of the same blocks; `reduced`:
    how many blocks end in a sum over tp.
    """

    layers: Array
    moe: Array
    sliding: Array
    first: Array
    last: Array
    mtp: Array
    wide: Array
    blocks: tuple[tuple[Block, Array], ...]
    alike: tuple[tuple[tuple[Block, ...], Array], ...]
    mtp_blocks: tuple[Block, ...]
    reduced: Array

    def sum(self, each: Callable[[Block], Array | float]) -> Array:
        """What all blocks of a stage have together."""
        return np.asarray(sum((count * each(block) for block, count in self.blocks), 0.0 * self.layers))

    def largest(self, each: Callable[[Block], Array | float], *, whole: bool = True) -> Array:
        """What the layer of a stage has that has the most of it, all its blocks together, or else its largest one."""
        found = 0.0 * self.layers
        for blocks, count in self.alike:
            parts = [each(block) for block in blocks] or [0.0]
            most = sum(parts) if whole else np.maximum.reduce(np.broadcast_arrays(*parts))
            found = np.maximum(found, (count > 0) * most)
        return np.asarray(found)

    def mean(self, each: Callable[[Block], Array | float]) -> Array:
        """The same of a layer, on average; of a stage without layers, what a layer of the model has."""
        found = self.sum(each)
        if not np.all(self.layers):
            other = sum(count.sum(axis=-1, keepdims=True) * each(block) for block, count in self.blocks)
            found = np.where(self.layers > 0, found, other / np.maximum(1, self.layers.sum(axis=-1, keepdims=True)))
        return np.asarray(found / np.maximum(1, self.layers))

    @property
    def dense(self) -> Array:
        """Layers with an MLP of their own."""
        return array(sum((count for block, count in self.blocks if block.kind == "dense"), 0.0 * self.layers))

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
        more = tuple((block, self.mtp) for block in self.mtp_blocks)
        return replace(
            self,
            layers=self.layers + self.mtp,
            moe=self.moe + self.mtp * moe,
            blocks=_joined((*self.blocks, *more)),
            alike=(*self.alike, (self.mtp_blocks, self.mtp)),
            reduced=self.reduced + len(more) * self.mtp,
        )

    @property
    def own(self) -> Layers:
        """Blocks by whose weights a stage holds: those that several blocks have together once."""
        if not any(block.again for block, _ in self.blocks):
            return self
        counts = dict(self.blocks)

        def once(block: Block, count: Array) -> Array:
            first = counts.get(replace(block, again=False), 0 * count)
            return np.asarray(np.minimum(count, 1) * (first == 0)) if block.again else count

        return replace(self, blocks=tuple((block, once(block, count)) for block, count in self.blocks))

    @property
    def without_mtp(self) -> Layers:
        """The same where no MTP layer is held."""
        return replace(self, mtp=0 * self.mtp)


@remembered
def layers(
    model: Model, stages: tuple[tuple[int, ...], ...], mtp_stage: int = -1, wide: tuple[int, ...] = ()
) -> Layers:
    """Count the layers of stages, given as layer ids; ids that the model does not have count as plain layers. `mtp_stage`: the
    stage of the MTP layers, which with virtual stages counts all of them from the last. `wide`: how many of the first and of the
    last layers compute in BF16 whatever the others do.
    """
    moe, windows, count, made = model.moe_layers, model.windows, len(stages), stack(model)
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
        blocks=_counted([[block for i in ids for block in _of(made, i)] for ids in stages], sum(made.layers, ())),
        alike=_counted([[_of(made, i) for i in ids] for ids in stages], made.layers),
        mtp_blocks=made.mtp,
        reduced=array([sum(len(_of(made, i)) for i in ids) for ids in stages]),
    )


def _of(made: Stack, layer: int) -> tuple[Block, ...]:
    """The blocks of a layer; those of the last one where the model has no such layer."""
    return made.layers[min(layer, len(made.layers) - 1)]


def _counted(found: Sequence[Iterable[Item]], known: Iterable[Item]) -> tuple[tuple[Item, Array], ...]:
    """Each of those that are known, and how many of it every stage has."""
    counts = [Counter(items) for items in found]
    return tuple((item, array([each[item] for each in counts])) for item in dict.fromkeys(known))


def _joined(found: tuple[tuple[Block, Array], ...]) -> tuple[tuple[Block, Array], ...]:
    """Counts of the same block added up."""
    order = dict.fromkeys(block for block, _ in found)
    return tuple((block, np.asarray(sum(count for other, count in found if other == block))) for block in order)


def chunks(found: Stages, config: Config, mtp_stage: int) -> Layers | None:
    """Layers of each virtual stage, in the order in which a micro-batch meets them; None where the chunks of each rank are alike."""
    if all(len(set(counts)) == 1 for counts in found.counts):
        return None
    ids = [tuple(range(first, last + 1)) for row in zip(*found.chunks, strict=True) for first, last in row]
    return layers(config.model, tuple(ids), mtp_stage, tuple(config.workload.wide_layers))
