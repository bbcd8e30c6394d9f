"""Orders of operations of pipeline schedules, a list for each pipeline rank.

1F1B and interleaved as Megatron-LM's schedules.py, zero bubble (ZB1P) as PyTorch's ScheduleInterleavedZeroBubble (each weight
gradient as many micro-batches late as the rank), DualPipe as deepseek-ai/DualPipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

FORWARD, BACKWARD, INPUT, WEIGHT = "FBIW"
"""A forward pass; a whole backward pass, or only the gradient of its input, or of its weights."""


class Op(NamedTuple):
    """One piece of work of a micro-batch. `stage`: of all chunks, in the order in which a micro-batch meets them."""

    kind: str
    micro_batch: int
    stage: int


Slot = tuple[Op, ...]
"""Operations that a rank runs as one: a forward and a backward pass beside each other under DualPipe."""

Orders = list[list[Slot]]


def interleaved(pp: int, vpp: int, micro_batches: int, group: int = 0, early: int = 0) -> Orders | None:
    """With one chunk it is 1F1B. `group` micro-batches go through a chunk in a row, pp of them unless said; `early`: how many more of
    them run forward before the first one runs backward. None where chunks do not come round: the last group is smaller than the stages.
    """
    if vpp > 1 and 0 < micro_batches % (group or pp) < pp:
        return None
    return [list(_interleaved(pp, vpp, micro_batches, rank, group or pp, early)) for rank in range(pp)]


def _interleaved(pp: int, vpp: int, micro_batches: int, rank: int, group: int, early: int) -> Iterator[Slot]:
    table = [
        (micro_batch, chunk)
        for first in range(0, micro_batches, group)
        for chunk in range(vpp)
        for micro_batch in range(first, min(first + group, micro_batches))
    ]
    ahead = [(Op(FORWARD, number, chunk * pp + rank),) for number, chunk in table]
    back = [(Op(BACKWARD, number, (vpp - 1 - chunk) * pp + rank),) for number, chunk in table]
    warm = (pp - rank - 1) * 2 + (vpp - 1) * group + early if vpp > 1 else pp - rank - 1
    warm = min(warm, len(table))
    yield from ahead[:warm]
    for forward, backward in zip(ahead[warm:], back, strict=False):
        yield from (forward, backward)
    yield from back[len(table) - warm :]


def zero_bubble(pp: int, vpp: int, micro_batches: int, _group: int = 0) -> Orders | None:
    """ZB1P; None with virtual stages."""
    return None if vpp > 1 else [list(_zero_bubble(pp, micro_batches, rank)) for rank in range(pp)]


def _zero_bubble(pp: int, micro_batches: int, rank: int) -> Iterator[Slot]:
    warm = min(pp - rank - 1, micro_batches)
    for number in range(warm):
        yield (Op(FORWARD, number, rank),)
    weights = 0
    for number in range(micro_batches):
        if warm + number < micro_batches:
            yield (Op(FORWARD, warm + number, rank),)
        yield (Op(INPUT, number, rank),)
        if number >= rank:
            yield (Op(WEIGHT, weights, rank),)
            weights += 1
    for number in range(weights, micro_batches):
        yield (Op(WEIGHT, number, rank),)


def dualpipe(pp: int, vpp: int, micro_batches: int, _group: int = 0) -> Orders | None:
    """None for odd numbers, with virtual stages, and for fewer than two micro-batches a stage."""
    if vpp > 1 or pp % 2 or micro_batches % 2 or micro_batches < 2 * pp:
        return None
    return [_Dual(pp, micro_batches, rank).order() for rank in range(pp)]


class _Dual:
    """One rank's order. Direction 0 runs from its half's end of the pipeline, 1 from the other one."""

    def __init__(self, pp: int, micro_batches: int, rank: int) -> None:
        self.pp, self.rank, self.half = pp, rank, micro_batches // 2
        self.near = min(rank, pp - 1 - rank)
        self.slots: list[Slot] = []
        self.counts = {(kind, side): 0 for kind in "FB" for side in (0, 1)}
        self.late: list[Op] = []

    def op(self, kind: str, side: int) -> Op:
        """The next operation of a kind and direction."""
        turned = side ^ (self.rank >= self.pp // 2)
        key = (FORWARD if kind == FORWARD else BACKWARD, side)
        number = self.counts[key]
        self.counts[key] += 1
        return Op(kind, number + turned * self.half, self.pp - 1 - self.rank if turned else self.rank)

    def forward(self, side: int) -> None:
        self.slots.append((self.op(FORWARD, side),))

    def backward(self, side: int, *, split: bool = False) -> None:
        """With `split` the gradient of weights is left for later."""
        op = self.op(INPUT if split else BACKWARD, side)
        self.slots.append((op,))
        if split:
            self.late.append(Op(WEIGHT, op.micro_batch, op.stage))

    def both(self, ahead: int, back: int) -> None:
        self.slots.append((self.op(FORWARD, ahead), self.op(BACKWARD, back)))

    def weight(self) -> None:
        self.slots.append((self.late.pop(0),))

    def order(self) -> list[Slot]:
        """The eight steps of dualpipe.py."""
        rest, near = self.pp // 2 - self.near - 1, self.near
        for _ in range(2 * rest):
            self.forward(0)
        for _ in range(near + 1):
            self.forward(0)
            self.forward(1)
        for _ in range(rest):
            self.backward(1, split=True)
            self.weight()
            self.forward(1)
        for _ in range(self.half - self.pp + near + 1):
            self.both(0, 1)
            self.both(1, 0)
        for _ in range(rest):
            self.backward(1)
            self.both(1, 0)
        for turn in range(near + 1):
            middle = (near + 1) // 2
            self.backward(1, split=turn > middle or (turn == middle and near % 2 == 1))
            self.backward(0, split=turn >= middle)
        for _ in range(rest):
            self.weight()
            self.backward(0, split=True)
        for _ in range(near + 1):
            self.weight()
        return self.slots


ORDERS: Mapping[str, Callable[..., Orders | None]] = {
    "1f1b": interleaved,
    "interleaved": interleaved,
    "zero_bubble": zero_bubble,
    "dualpipe": dualpipe,
}
"""Schedule -> its orders for pp ranks of vpp chunks, a number of micro-batches, and those that a chunk has in a row."""
