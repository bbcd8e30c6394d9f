"""What of the collectives of a micro-batch shows beside its kernels."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.costs.arrays import Array, array, exceeding
from compiler.costs.comm.timed import Timed
from compiler.costs.constants import EDGE
from compiler.costs.software import Software

DISPATCHES = ("ep", "ep_far", "ep_once")
KINDS = ("tp", "cp", "ep", "ep_far", "ep_once", "beside", "etp", "pp")


def by_kind(passes: Sequence[Timed], none: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Seconds of a micro-batch's collectives, forward and backward."""
    ahead, back = (dict.fromkeys(KINDS, none) for _ in range(2))
    for item in passes:
        for kind, part in _kinds(item):
            ahead[kind] = ahead[kind] + part * item.flow.forward * item.call_s
            back[kind] = back[kind] + part * item.flow.backward * item.call_s
    return ahead, back


def _kinds(item: Timed) -> list[tuple[str, Array]]:
    """What a flow counts as, and how much of it does: a dispatch by what carries it, in Software's words."""
    flow, far = item.flow, array(item.reach.domains) > 1
    if flow.kind != "ep":
        return [(flow.kind, array(1))]
    if flow.overlapped or flow.copies:
        return [("beside" if flow.overlapped else "ep_once", array(1))]
    return [("ep", array(~far)), ("ep_far", array(far))]


def shown(by: Software, spent: dict[str, Array], shared: Array, weights: Array) -> Array:
    """Collectives of a pass that show: a dispatch as far as it lasts longer than the shared experts that compute meanwhile, one beside
    another micro-batch as far as it also lasts longer than the products for gradients of weights that wait for it.
    """
    left = {kind: getattr(by, "ep" if kind == "etp" else kind) * spent[kind] for kind in KINDS}
    alone = exceeding(sum((left.pop(kind) for kind in DISPATCHES), 0 * shared), shared, EDGE)
    return alone + exceeding(left.pop("beside"), weights, EDGE) + sum(left.values(), 0 * shared)
