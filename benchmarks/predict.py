"""What the program says of each record, with the constants of `conf/calibration`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from benchmarks import curves, features, fits
from benchmarks.rows.record import UNFIT, Record
from compiler.costs.calibration import Calibration
from compiler.costs.engine import Demand, serve
from compiler.costs.replayed import replayed
from compiler.costs.shape import shape
from compiler.costs.step import Work, step
from compiler.costs.work.memory import allocated, reserved
from compiler.speed import calibrated
from compiler.speed.fit import serving


def predict(records: Sequence[Record]) -> list[float]:
    """In the unit of what was measured; nan for those that are skipped."""
    found = {id(record): float("nan") for record in records}
    with np.errstate(all="ignore"):  # a number without meaning leaves as one that is not finite
        for samples in (fits.steps(records), fits.requests(records)):
            predicting = _step if samples.training else _served
            for record, work in zip(samples.records, samples.work, strict=True):
                found[id(record)] = _finite(partial(predicting, record, work))
        for record in records:
            if not record.skipped and record.family in ("memory", "collectives"):
                found[id(record)] = _finite(partial(memory_bytes if record.family == "memory" else _transfer, record))
    return [found[id(record)] for record in records]


def _finite(predicting: Callable[[], float]) -> float:
    """nan where a row's plan cannot be costed."""
    try:
        return predicting()
    except UNFIT:
        return float("nan")


def _step(record: Record, work: Work) -> float:
    """As a plan prints it: its schedule is replayed, where fits take the closed form."""
    world = features.known(record)
    config = world.config
    software = calibrated.software(*record.software, config.hardware.name, config.workload.precision)
    by = Calibration(calibrated.curves(config.hardware), software=software)
    return fits.step_seconds(record, float(step(work, software, replayed(shape(world), by)).total))


def _served(record: Record, load: Demand) -> float:
    world = features.known(record)
    config = world.config
    found = serve(load, calibrated.engine(*record.software, config.hardware.name, config.workload.precision))
    value = serving.observed(load, found, fits.gpus(record, load))[fits.kind(record)]
    return float(np.max(value)) * float((record.ask or {}).get("ranks", 1))


def memory_bytes(record: Record) -> float:
    """What the allocator of the measured stage's fullest rank hands out, or reserves, at the peak."""
    plan, stage = shape(features.known(record)), (record.ask or {})["stage"]
    total = (reserved if record.metric == "reserved_bytes" else allocated)(plan.case, plan.held)
    return float(total.max() if stage is None else total[stage])


def _transfer(record: Record) -> float:
    return curves.seconds(record, calibrated.curves(dict(record.ask or {})["hardware"]))
