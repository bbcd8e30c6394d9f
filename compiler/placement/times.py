"""Communication time by the cost model, as a function of how far groups reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace

import numpy as np

from compiler.cluster.spans import SPANS
from compiler.costs import serve
from compiler.costs.arrays import Array, array
from compiler.costs.calibration import Calibration
from compiler.costs.comm.collectives import seconds
from compiler.costs.comm.links import Reach
from compiler.costs.shape import Shape
from compiler.costs.total import longest
from compiler.costs.train import train
from compiler.frozen import dataclass
from compiler.traffic.streams import Phase, phases

Far = tuple[int, int]
"""An index into SPANS, and NVLink domains."""


@dataclass(frozen=True)
class Times:
    """Of one order of axes, each computed once."""

    plan: Shape
    by: Calibration
    phases: Mapping[str, Phase]
    _kinds: dict[str, Array] = field(default_factory=dict, init=False, repr=False)
    _wholes: dict[tuple[Far, ...], float] = field(default_factory=dict, init=False, repr=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of several ranks that carry traffic."""
        return tuple(kind for kind, reach in self.plan.reaches.items() if np.max(reach.size) > 1)

    def of(self, kind: str) -> Array:
        """Seconds of all collectives of a group of a kind, of a step, or of a prompt and its answer, by its span and its NVLink
        domains, shape [len(SPANS), domains + 1]; none has 0 domains.
        """
        if kind not in self._kinds:
            with np.errstate(all="ignore"):
                self._kinds[kind] = self._seconds(kind)
        return self._kinds[kind]

    def _seconds(self, kind: str) -> Array:
        size = int(np.max(self.plan.reaches[kind].size))
        spans, domains = np.arange(len(SPANS), dtype=np.int8), array(np.arange(1, size + 1))
        reach = Reach(kind, array(size), spans[:, None, None], domains[None, :, None])
        spent = np.zeros((len(SPANS), size))
        for name, phase in self.phases.items():
            for flow in (flow for flow in phase.flows if flow.kind == kind):
                call = seconds(flow.op, flow.payload, reach, phase.case.hardware, self.by.gpu, flow.copies)
                spent += (phase.calls(flow) * call).max(axis=-1) * self._times(name)
        return np.concatenate([np.full((len(SPANS), 1), np.inf), spent], axis=1)

    def least(self, kind: str, far: Far) -> Far:
        """The reach that takes least of those that are no nearer, and in no fewer domains."""
        table = self.of(kind)[far[0] :, far[1] :]
        span, domains = np.unravel_index(int(np.argmin(table)), table.shape)
        return far[0] + int(span), far[1] + int(domains)

    def _times(self, phase: str) -> int:
        """A decode step is run for each token of an answer."""
        return self.plan.case.workload.output_length if phase == "decode" else 1

    def whole(self, worst: Mapping[str, Far]) -> float:
        """Seconds of a step, or of a prompt and its answer, with the worst group of each kind this far."""
        key = tuple(worst[kind] for kind in self.kinds)
        if key not in self._wholes:
            reaches = {**self.plan.reaches, **{kind: self._reach(kind, far) for kind, far in worst.items()}}
            with np.errstate(all="ignore"):
                self._wholes[key] = self._whole(replace(self.plan, reaches=reaches))
        return self._wholes[key]

    def _whole(self, plan: Shape) -> float:
        workload = plan.case.workload
        if workload.train:
            return train(plan, self.by)[0].step_time_s
        plan = longest(plan)
        prompt, token = (workload.role in (None, role) for role in ("prefill", "decode"))
        first = serve.prefill(plan, workload.longest, self.by).ttft_s if prompt else 0.0
        each = serve.decode(plan, workload.longest, self.by).tpot_s if token else 0.0
        return first + workload.output_length * each

    def _reach(self, kind: str, far: Far) -> Reach:
        return Reach(kind, int(np.max(self.plan.reaches[kind].size)), SPANS[far[0]], far[1])


def times(plan: Shape, by: Calibration) -> Times:
    return Times(plan, by, phases(plan))
