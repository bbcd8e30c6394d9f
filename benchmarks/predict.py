"""What the program says of each record, with the constants of `conf/calibration`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks import features, fits
from benchmarks.fits import Samples
from benchmarks.rows.record import Record
from compiler import calibrated
from compiler.costs import collectives
from compiler.costs.case import array
from compiler.costs.engine import Demand, serve
from compiler.costs.memory import allocated, reserved
from compiler.costs.step import Work, step
from compiler.fitting import serving


def predict(records: Sequence[Record]) -> list[float]:
    """In the unit of what was measured; nan for those that are skipped."""
    found = {id(record): float("nan") for record in records}
    for samples in (fits.steps(records), fits.requests(records)):
        for record, value in zip(samples.records, _samples(samples), strict=True):
            found[id(record)] = value
    for record in records:
        if not record.skipped and record.family in ("memory", "collectives"):
            found[id(record)] = _memory(record) if record.family == "memory" else _transfer(record)
    return [found[id(record)] for record in records]


def _samples(samples: Samples) -> list[float]:
    predicting = _step if samples.training else _served
    return [predicting(record, work) for record, work in zip(samples.records, samples.work, strict=True)]


def _step(record: Record, work: Work) -> float:
    config = features.known(record).config
    by = calibrated.software(*record.software, config.hardware.name, config.workload.precision)
    return fits.step_seconds(record, float(np.max(step(work, by).total)))


def _served(record: Record, load: Demand) -> float:
    world = features.known(record)
    config = world.config
    found = serve(load, calibrated.engine(*record.software, config.hardware.name, config.workload.precision))
    value = serving.observed(load, found, world.size / world.degrees.adp)[fits.kind(record)]
    return float(np.max(value)) * float((record.ask or {}).get("ranks", 1))


def _memory(record: Record) -> float:
    this, held, _ = features.bits(features.known(record))
    named = replace(this, framework=record.software[0])
    total = (reserved if record.metric == "reserved_bytes" else allocated)(named, held)
    stage = (record.ask or {})["stage"]
    return float(total.max() if stage is None else total[stage])


def _transfer(record: Record) -> float:
    ask = dict(record.ask or {})
    gpu = calibrated.gpu(ask["hardware"].calibration or "")
    return float(collectives.seconds(ask["op"], array(ask["size"]), ask["reach"], ask["hardware"], gpu))
