"""Layers to pipeline stages and their virtual chunks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from compiler.frozen import dataclass


@dataclass(frozen=True)
class Stages:
    """chunks[pp][v] = (first, last), inclusive layer ids of the v-th virtual chunk of a pipeline rank.

    A chunk without a layer, of the embedding or the loss alone, ends before it begins: (61, 60).
    """

    chunks: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def pp(self) -> int:
        return len(self.chunks)

    @cached_property
    def layers(self) -> tuple[tuple[int, ...], ...]:
        """Layer ids of each stage, in order of execution."""
        return tuple(tuple(i for first, last in stage for i in range(first, last + 1)) for stage in self.chunks)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The `layers` column of each stage, as in `0-1;8-9`."""
        return tuple(";".join(span(*chunk) for chunk in stage if chunk[1] >= chunk[0]) for stage in self.chunks)

    @cached_property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """Layers of each chunk of each stage."""
        return tuple(tuple(last - first + 1 for first, last in stage) for stage in self.chunks)

    def to_list(self) -> list[dict[str, object]]:
        return [{"pp": pp, "chunks": [list(chunk) for chunk in stage]} for pp, stage in enumerate(self.chunks)]


def span(first: int, last: int) -> str:
    """An inclusive range as the tables write it: `0-3`, and `5` for a range of one."""
    return str(first) if first == last else f"{first}-{last}"


def split(counts: Sequence[int], pp: int) -> Stages:
    """Deal layers out in order: virtual stage s holds counts[s] of them and sits on pipeline rank s % pp.

    `counts` has pp*vpp entries.
    """
    starts = [sum(counts[:i]) for i in range(len(counts))]
    spans = [(start, start + count - 1) for start, count in zip(starts, counts, strict=True)]
    return Stages(tuple(tuple(spans[stage::pp]) for stage in range(pp)))
