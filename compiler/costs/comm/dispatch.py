"""Ways to send tokens to their experts, held against each other: what leaves an NVLink domain, what stays, and how long it takes.

naive: a copy for each chosen expert. deduplicated: one for each rank that has some of them. hierarchical: one for each domain
over the network, and from there one for each rank over NVLink (DeepEP, HybridEP). node_limited: the same where the router
keeps to `topk_group` of `n_group` groups of experts (DeepSeek-V3). The report shows them; what is projected is a flow (`costs/work/traffic.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

from compiler.costs.calibration import GpuCalibration
from compiler.costs.case import Case
from compiler.costs.comm.collectives import call
from compiler.costs.comm.links import Reach
from compiler.costs.work.forward import Forward
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Form:
    """One dispatch of a MoE layer on a rank, in the precision of activations; a combine is the same the other way round."""

    phase: str
    form: str
    domain_bytes: float
    network_bytes: float
    seconds: float


def forms(case: Case, forward: Forward, reach: Reach, gpu: GpuCalibration) -> Iterator[Form]:
    """Of one plan. None where experts are not spread."""
    ranks, domains = int(reach.size), int(reach.domains)
    if not case.model.moe or ranks < 2:
        return
    each = max(1, ranks // domains)
    token = float(forward.routed) * case.activation_bytes * case.model.hidden_size * case.workload.imbalance
    for name, hit, remote in _copies(case, ranks, domains):
        within = token * (hit * (each - 1) / ranks if remote is None else hit * (each - 1) / each)
        out = token * (hit * (ranks - each) / ranks if remote is None else remote * (domains - 1) / domains)
        spent = call("all_to_all", token * hit, within, out, reach, case.hardware, gpu)
        yield Form(forward.phase, name, within, out, float(spent))


def _copies(case: Case, ranks: int, domains: int) -> Iterator[tuple[str, float, float | None]]:
    """Name, copies of a token for ranks, and (where a domain gets one copy) copies for domains."""
    model = case.model
    experts, chosen = model.num_experts, model.num_experts_per_tok
    hit = distinct(experts, chosen, ranks)
    yield "naive", float(chosen), None
    yield "deduplicated", hit, None
    nodes = distinct(experts, chosen, domains)
    yield "hierarchical", hit, nodes
    if model.n_group > 1:
        yield "node_limited", hit, min(nodes, distinct(model.n_group, model.topk_group, domains))


def distinct(things: int, chosen: int, parts: int) -> float:
    """How many of `parts` equal shares of `things` hold at least one of `chosen` different ones, on average."""
    share = things / parts
    if share <= 1 or chosen > things:
        return float(min(chosen, parts))
    missed = comb(things - round(share), chosen) / comb(things, chosen)
    return parts * (1 - missed)
