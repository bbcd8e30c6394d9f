"""Many plans of one model on one cluster at once: what a search needs of them, by the same functions as for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.costs import bubble, imbalance, offload
from compiler.costs.activations import stored_each
from compiler.costs.arrays import Array, array
from compiler.costs.calibration import Calibration
from compiler.costs.case import Case, drafting
from compiler.costs.links import Reach
from compiler.costs.memory import memory, sharded
from compiler.costs.params import counts, totals
from compiler.costs.stages import layers
from compiler.costs.step import work
from compiler.costs.traits import rebuilt
from compiler.specs.hardware import Hardware
from compiler.specs.model import Model
from compiler.specs.workload import Workload

BATCH = 4096
"""Plans in one go: enough to make numpy's own time small, few enough for a small memory."""


@dataclass(frozen=True)
class Many:
    """Degrees of each plan, arrays of one length."""

    tp: Array
    cp: Array
    pp: Array
    vpp: Array
    ep: Array
    etp: Array
    adp: Array

    def take(self, index: NDArray[np.intp]) -> Many:
        return Many(**{name: value[index] for name, value in vars(self).items()})


def project(model: Model, workload: Workload, hardware: Hardware, plans: Many, by: Calibration) -> tuple[Array, Array]:
    """Seconds of a training step, and bytes on the fullest rank, of each plan; the plan's own order of ranks.

    Virtual stages and pipelines of a length share their stages, so that plans are grouped by them.
    """
    seconds, used = np.full(len(plans.tp), np.nan), np.full(len(plans.tp), np.nan)
    with np.errstate(all="ignore"):
        for index in _alike(plans):
            case = _case(model, workload, hardware, plans.take(index))
            held = counts(case, totals(model))
            found, _ = work(case, held, reaches(case), by.gpu)
            parts = bubble.step(case, found, by.software)
            pipeline_s = parts.kernels_s + parts.exposed_s + parts.waiting_s
            moved = offload.seconds(case, sharded(case, held, 1), stored_each(case), pipeline_s)
            seconds[index] = parts.total + sum(moved)
            used[index] = memory(case, held).total_bytes.max(axis=-1)
    return seconds, used


def _alike(plans: Many) -> Iterator[NDArray[np.intp]]:
    """Indices of plans with the same stages, a batch at a time."""
    keys = np.stack([plans.pp, plans.vpp], axis=1)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(group.ravel()[order])) + 1):
        yield from np.array_split(part, -(-len(part) // BATCH))


def _case(model: Model, workload: Workload, hardware: Hardware, plans: Many) -> Case:
    """Degrees of shape [plans, 1]; layers dealt out to stages as evenly as they go."""
    columns: dict[str, Any] = {name: array(value)[:, None] for name, value in vars(plans).items()}
    parts = int(plans.pp[0] * plans.vpp[0])
    ids = np.array_split(np.arange(model.num_hidden_layers), parts)
    stage = int(plans.pp[0])
    held = tuple(tuple(int(i) for chunk in ids[first::stage] for i in chunk) for first in range(stage))
    tp = columns["tp"]
    skew: Any = imbalance.factor(workload, model, columns["ep"])
    ranks = tp * columns["cp"] * columns["adp"]
    return Case(
        model=model,
        workload=replace(workload, imbalance=skew, imbalance_exponent=None),
        hardware=hardware,
        sequence_parallel=workload.sequence_parallel is not False,
        padded_vocab_size=np.ceil(model.vocab_size / tp) * tp,
        edp=np.maximum(1, ranks // (columns["etp"] * columns["ep"])),
        stages=drafting(layers(model, held, wide=workload.wide_layers), workload),
        rebuilt=rebuilt(workload),
        **columns,
    )


def reaches(case: Case) -> dict[str, Reach]:
    """Groups of every kind in closed form, for ranks in the plan's own order on nodes that are filled one by one."""
    one, blocks = np.ones_like(case.tp), case.etp * case.ep
    axes = {
        "tp": (one, case.tp),
        "cp": (case.tp, case.cp),
        "dp": (case.tp * case.cp, case.adp),
        "dp_cp": (case.tp, case.cp * case.adp),
        "pp": (case.tp * case.cp * case.adp, case.pp),
        "etp": (one, case.etp),
        "ep": (case.etp, case.ep),
        "edp": (blocks, case.edp),
    }
    domain = case.hardware.nvlink.domain_gpus
    farthest = "leaf" if case.hardware.nodes <= (case.hardware.fabric.nodes_per_leaf or 1) else "fabric"
    return {
        kind: Reach(kind, size, farthest, np.ceil(size / np.maximum(1, domain // stride)))
        for kind, (stride, size) in axes.items()
    }
