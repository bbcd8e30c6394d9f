"""Which collectives a pass or a step needs: kind of group, operation, payload, and how often on each stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from compiler.blocks.block import local
from compiler.costs.arrays import Array, array
from compiler.costs.case import Case
from compiler.costs.comm.collectives import kept
from compiler.costs.trained import trained
from compiler.costs.work.forward import Forward, dispatched
from compiler.costs.work.memory import zero
from compiler.costs.work.params import Counts
from compiler.costs.work.widths import ELEMENT_BYTES
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Flow:
    """One collective. `payload` is one call's bytes; `forward` and `backward` are calls for a micro-batch, `step` for a
    training step; arrays that broadcast over stages. `overlapped`: it runs beside computation, as far as that lasts.
    `copies`: of a token in an all_to_all's payload, where it is sent once to each rank that has some; 0 where each is sent.
    `part`: it runs "within" one of several copies of what its groups shard, or "between" those; empty for all of a group.
    """

    kind: str
    op: str
    role: str
    payload: Array
    forward: Array
    backward: Array
    step: Array
    overlapped: bool = False
    copies: int = 0
    part: str = ""


def passing(case: Case, forward: Forward) -> Iterator[Flow]:
    """Flows of a micro-batch's pass; backward calls are 0 in serving."""
    yield from tensor(case, forward)
    if forward.phase != "decode":
        yield from context(case, forward)
    yield from experts(case, forward)
    yield from boundaries(case, forward)


def _flow(
    case: Case, kind: str, op: str, role: str, payload: Array, calls: tuple[Array, Array], overlapped: bool
) -> Flow:
    """A flow of a micro-batch; recomputation, of all or of MoE layers, runs its forward calls once more within backward."""
    ahead, back = calls
    rebuilt = case.workload.recompute == "full" or ("moe" in case.rebuilt and kind in ("ep", "etp"))
    again = ahead if rebuilt and role != "stages" else 0 * ahead
    return Flow(kind, op, role, payload, ahead, (back + again) * case.workload.train, 0 * ahead, overlapped)


def tensor(case: Case, forward: Forward) -> Iterator[Flow]:
    """TP: an all_reduce after attention and after the MLP or experts, and as many in backward; one for the embedding.

    With sequence parallelism each is a reduce_scatter and an all_gather, and experts route the split tokens as they
    are, so only shared experts need them. Without it the one of a MoE layer joins the tokens that were split to route. Where queries
    and keys are normed over all heads, servers sum their squares over the ranks that share them.
    """
    held = case.running
    payload = case.activation_bytes * case.model.hidden_size * forward.tokens
    if not case.workload.train and case.model.use_qk_norm and case.model.qk_norm_type == "per_layer":
        squares = 2 * ELEMENT_BYTES["fp32"] * forward.tokens + 0 * payload
        yield _flow(
            case, "tp", "all_reduce", "norms of queries and keys", squares, (held.layers, 0 * held.layers), False
        )
    if not case.sequence_parallel:
        each = held.reduced
        yield _flow(case, "tp", "all_reduce", "activations", payload, (each + held.first, each + held.last), False)
        return
    each = held.reduced - held.moe * (0 if case.model.shared_size else 1)
    yield _flow(case, "tp", "all_gather", "activations", payload, (each + held.last, each + held.first), False)
    yield _flow(case, "tp", "reduce_scatter", "activations", payload, (each + held.first, each + held.last), False)


def context(case: Case, forward: Forward) -> Iterator[Flow]:
    """CP: keys and values (of all heads, also with MLA) go round the ring, those that were found too, twice as many in backward (with
    their gradients).
    """
    width = case.running.mean(lambda block: local(block.ring, case.tp))
    payload = case.activation_bytes * width * forward.tokens / forward.computed
    ring = case.running.layers * (case.cp - 1)
    yield _flow(case, "cp", "send_recv", "keys and values", payload, (ring, 2 * ring), True)


def experts(case: Case, forward: Forward) -> Iterator[Flow]:
    """EP: dispatch and combine of every MoE layer; ETP: the dispatched tokens are gathered and their results reduced. Servers send a
    token once to each rank that has some of its experts, whichever of them those are.
    """
    if not case.model.moe:
        return
    hidden = case.activation_bytes * case.model.expert_hidden
    pairs = dispatched(case, forward) * case.workload.imbalance
    calls = case.running.moe
    train = case.workload.train
    overlapped = train and (case.workload.schedule == "dualpipe" or case.workload.overlapped_dispatch)
    once = not train or case.workload.dispatch == "deduplicated"
    copies = case.model.num_experts_per_tok if once else 0
    for role in ("dispatch", "combine"):
        narrow = 1.0 if role == "dispatch" or case.combine_bytes is None else case.combine_bytes / case.activation_bytes
        flow = _flow(case, "ep", "all_to_all", role, narrow * hidden * pairs / case.etp, (calls, calls), overlapped)
        yield replace(flow, copies=copies)
    gathered = hidden * pairs * (1.0 if train else kept(copies, case.ep))
    yield _flow(case, "etp", "all_gather", "dispatch", gathered, (calls, calls), False)
    yield _flow(case, "etp", "reduce_scatter", "combine", gathered, (calls, calls), False)


def boundaries(case: Case, forward: Forward) -> Iterator[Flow]:
    """PP: hidden states to the next chunk, their gradients back; each TP rank sends its part of the tokens."""
    held = case.stages
    payload = case.activation_bytes * case.model.hidden_size * forward.tokens / case.split
    overlapped = case.workload.train and (case.vpp > 1).all()
    one = case.vpp * np.ones_like(held.layers)
    alone = case.pp > 1
    calls = ((one - held.last) * alone, (one - held.first) * alone)
    yield _flow(case, "pp", "send_recv", "stages", payload, calls, bool(overlapped))


def synchronising(case: Case, held: Counts) -> Iterator[Flow]:
    """DP over attention ranks (with cp) and over expert ranks: gradients and parameters once a step, beside computation.

    Without a distributed optimizer gradients are all-reduced. ZeRO-3 gathers each layer's weights in forward and in
    backward, and reduces its gradients, in every micro-batch. Where ranks hold several copies of what is sharded, all of this is
    within one, and what a rank has reduced is summed between them.
    """
    dense_kind = "dp_cp" if (case.cp > 1).any() else "dp"
    own = trained(case, held)
    read = held if zero(case, 3) else own
    classes = [(dense_kind, own.dense, read.dense_bytes, case.adp * case.cp)]
    classes += [("edp", own.moe, read.moe_bytes, case.edp)] * case.model.moe
    none, one = np.zeros_like(held.dense), np.ones_like(held.dense)
    count, copies = np.maximum(case.running.layers, 1), array(case.copies)
    part = "within" if (copies > 1).any() else ""
    for kind, params, whole, ranks in classes:
        grads = case.gradient_bytes * params
        summed = grads / np.maximum(1, ranks / copies)
        if zero(case, 3):
            layer = count * one
            yield Flow(kind, "all_gather", "parameters", whole / count, layer, layer, none, True, part=part)
            yield Flow(kind, "reduce_scatter", "gradients", grads / count, none, layer, none, True, part=part)
            if part:
                yield Flow(kind, "all_reduce", "gradients", summed / count, none, layer, none, True, part="between")
        elif zero(case, 1):
            yield Flow(kind, "reduce_scatter", "gradients", grads, none, none, one, True, part=part)
            yield Flow(kind, "all_gather", "parameters", whole, none, none, one, True, part=part)
            if part:
                yield Flow(kind, "all_reduce", "gradients", summed, none, none, one, True, part="between")
        else:
            yield Flow(kind, "all_reduce", "gradients", grads, none, none, one, True)
