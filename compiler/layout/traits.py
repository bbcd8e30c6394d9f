"""What a framework makes of a plan, as far as memory and time follow from it; each adapter says its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf
from typing import Any

from compiler.frozen import dataclass

LEAST = 0.05
"""Weights that leave less of the memory than this raise a server's share (0.95 instead of 0.82 in published scripts)."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a server makes of memory: `share` of all is for weights, cache and (`with_other`) what is neither (`of_all`), or for
    the cache alone what they leave; a server that would have less than `least` of all for its cache is started with a larger
    share. A request is let in where its prompt and `answered` of its answer fit. `option` sets the share, and so does `key` of an
    options file.
    """

    option: str = ""
    key: str = ""
    share: float = 1.0
    of_all: bool = False
    with_other: bool = False
    answered: float = 1.0
    least: float = 0.0

    def asked(self, args: Sequence[str]) -> Room:
        """With the share that arguments ask for; the usual one where that is none, which the server will refuse."""
        found = self
        for word, after in pairwise([*args, ""]):
            name, given, value = word.partition("=")
            if name.replace("_", "-") == self.option or (self.key and name.endswith(self.key)):
                found = self._of(value if given else after)
        return found

    def _of(self, text: str) -> Room:
        try:
            share = float(text)
        except ValueError:
            return self
        return replace(self, share=share, least=0.0) if 0 < share <= 1 else self


@dataclass(frozen=True)
class Cached:
    """What a server caches of a token in a layer, in bytes: of an `element` of keys and values (None: as wide as the workload says),
    or of the whole `row` of latent attention where that is packed in a form of its own; and of the key of an `index`er. `shards`:
    ranks that share a sequence's tokens (None: those of cp). `alike`: ranks of tp that hold the same heads, and other tokens.
    """

    element: float | None = None
    row: float | None = None
    index: float = 0.0
    shards: int | None = None
    alike: int = 1


@dataclass(frozen=True, kw_only=True)
class Traits:
    """Those of `framework=none` unless said otherwise. What depends on degrees is a number, or an array of one for each plan.

    `padded_vocab_size`: rows of the embedding. `mtp_stage`: the virtual stage of the MTP layers, counted from the last. `group`:
    micro-batches that a virtual stage has in a row. `copies`: of what ZeRO cuts, each whole in itself. `redundant_experts`: copies
    that a layer has beside one of each.

    `rebuilt`: modules of a layer that backward runs again, or "products" where every second one is kept. `narrow_inputs`: products
    in FP8 and FP4 keep what they read as narrow as they read it (Transformer Engine). `viewed_values`: a core attention that runs
    again keeps values as a part of the product that puts out queries, keys and values together, and so all of it. `shards_masters`: FSDP's shards are the FP32
    weights themselves, narrower ones being made as layers are gathered. `pipelined_tp`: hidden states are gathered and scattered
    piece by piece beside their GEMMs (async TP of torch). Of Megatron's FSDP: `double_buffer` keeps the
    gradients of two layers at hand, and `kept_transposes` a transposed copy of narrow weights.

    `fused_loss`: no copy of the logits in the precision of activations, and few passes over them. `loss_chunks`: parts of the
    sequence that the head and the loss run through one after another. `logit_bytes`: of a logit, without and with tp, where the
    loss is not in place.

    Of a server (`serves`): `room` is what it makes of memory. Decode of more sequences than `graph_batch` on a rank is launched
    kernel by kernel; None for any number. `combine_bytes`: of an element that experts send back; None for as many as activations
    have. It looks for requests once in `interval` decode steps. `cached`: what its layers cache. `host_bytes`: of a rank's weights
    that are in the host's memory, and come from there in every pass.
    """

    padded_vocab_size: Any
    mtp_stage: int = -1
    group: Any = None
    copies: Any = 1
    redundant_experts: int = 0
    rebuilt: tuple[str, ...] = ()
    narrow_inputs: bool = True
    viewed_values: bool = False
    shards_masters: bool = False
    pipelined_tp: bool = False
    double_buffer: bool = False
    kept_transposes: bool = False
    fused_loss: bool = True
    loss_chunks: float = 1.0
    logit_bytes: tuple[float, float] | None = None
    serves: bool = False
    room: Room = Room()
    graph_batch: Any = None
    combine_bytes: float | None = None
    interval: int = 1
    cached: Cached = Cached()
    host_bytes: float = 0.0

    def of(self, by_degrees: Mapping[str, Any]) -> Traits:
        """With others of those that depend on degrees."""
        return replace(self, **by_degrees)


BY_DEGREES = ("padded_vocab_size", "group", "copies", "graph_batch")
"""Traits that depend on degrees."""


def by_degrees(traits: Traits) -> dict[str, Any]:
    """Those of one plan, as numbers."""
    found = {name: getattr(traits, name) for name in BY_DEGREES}
    return {**found, "graph_batch": inf if traits.graph_batch is None else traits.graph_batch}
