"""Fits of training frameworks and serving engines to records, and what such a fit says of other records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import features
from benchmarks.features import known
from benchmarks.rows.record import UNFIT, Record
from compiler.costs.arrays import Array
from compiler.costs.engine import Demand
from compiler.costs.step import Work
from compiler.speed.calibrated import unmeasured
from compiler.speed.fit import serving, training
from compiler.speed.fit.levels import Evaluate, Keys, Scheme, Slot, balanced, fit, predicted

Constants = Mapping[Slot, float]
KINDS = {"tpot": serving.TPOT, "ttft": serving.TTFT, "serving_throughput": serving.RATE}


@dataclass(frozen=True)
class Samples:
    """Records of one kind, with what is needed of their plans."""

    records: Sequence[Record]
    keys: Sequence[Keys]
    work: Sequence[Any]
    target: Array
    scheme: Scheme

    def take(self, index: Sequence[int]) -> Samples:
        return Samples(
            [self.records[i] for i in index],
            [self.keys[i] for i in index],
            [self.work[i] for i in index],
            self.target[list(index)],
            self.scheme,
        )

    @property
    def training(self) -> bool:
        return self.scheme is training.SCHEME

    def evaluate(self) -> Evaluate:
        if self.training:
            return training.evaluate(self.work)
        ranks = [gpus(record, load) for record, load in zip(self.records, self.work, strict=True)]
        return serving.evaluate(self.work, [kind(record) for record in self.records], ranks)

    def weight(self) -> Array:
        sources = [f"{record.family}/{record.source}" for record in self.records]
        if self.training:
            return balanced(sources, training.ENOUGH, training.NOISE)
        families = [record.family for record in self.records]
        sure = [np.sqrt(serving.ENOUGH[family]) / serving.NOISE[family] for family in families]
        return np.asarray(balanced(sources, 1.0, 1.0) * sure)


def gpus(record: Record, load: Demand) -> float:
    """GPUs of an attention-DP rank, of which a run of so many requests as are queued at once keeps a part busy: the last that run
    together are fewer, and their steps hardly shorter.
    """
    world = known(record)
    each = world.size / world.degrees.adp
    if not (record.ask or {}).get("offline"):
        return each
    waves = max(1.0, float(np.max(load.batch / load.running)))
    return each * (1 + (waves > 1) * SHORT / waves)


SHORT = 0.25
"""Part of a full batch's time that the last requests of a run waste: on average half of it is empty, and a step is as long for half
of its weights' and its caches' sake.
"""


def kind(record: Record) -> int:
    """What a serving record measures."""
    fills = record.metric == "input_tokens_s_gpu" or (record.ask or {}).get("mode") == "prefill"
    return serving.FILL if fills else KINDS[record.family]


def steps(records: Sequence[Record]) -> Samples:
    """Training records; tokens/s of a GPU are turned into a step's seconds."""
    works: dict[int, Work] = {}
    kept = [r for r in records if r.family in features.TRAINING and _fits(r, features.step_work, works, id(r))]
    target = np.log([step_seconds(record, record.measured) for record in kept])
    work = [works[id(record)] for record in kept]
    return Samples(kept, [features.keys(record) for record in kept], work, target, training.SCHEME)


def _fits(record: Record, make: Callable[[Record], Any], found: dict[int, Any], key: int) -> bool:
    """Whether a record's plan can be costed; the work of those that can is kept under its key."""
    if record.skipped or record.measured <= 0:
        return False
    try:
        if key not in found:
            found[key] = make(record)
    except UNFIT:
        return False
    return True


def step_seconds(record: Record, value: float) -> float:
    """Seconds of a step from tokens/s of a GPU, and the other way round."""
    if record.metric == "step_time_s":
        return value
    world = known(record)
    workload = world.config.workload
    return workload.global_batch_size * workload.longest / (value * world.size)


def requests(records: Sequence[Record]) -> Samples:
    """Serving records; those of one row share their plan."""
    found: dict[int, Demand] = {}
    kept = [r for r in records if r.family in features.SERVING and _fits(r, features.served, found, id(r.world))]
    kept = [r for r in kept if r.family != "tpot" or not too_fast(r, found[id(r.world)])]
    target = np.log([record.measured / float((record.ask or {}).get("ranks", 1)) for record in kept])
    return Samples(kept, [features.keys(x) for x in kept], [found[id(x.world)] for x in kept], target, serving.SCHEME)


def too_fast(record: Record, load: Demand) -> bool:
    """Whether a row is `impossible`; one that is near to what is said of it is not looked at."""
    step = float(np.max(load.drafted * (load.decode.products + load.decode.grouped + load.decode.core)))
    return record.measured < SUSPECT * step and impossible(record)


def impossible(record: Record) -> bool:
    """Whether a token is said to have taken less time than reading weights and caches does at the memory's own bandwidth: as many
    requests as the row says did not run.
    """
    try:
        return record.family == "tpot" and 0 < record.measured < features.least_seconds(record)
    except UNFIT:
        return False


SUSPECT = 0.7
"""Part of the seconds of a step's measured kernels below which a row is looked at."""


def learnt_from(record: Record) -> bool:
    """Whether all layers of a model have curves: what a roofline misses of others is no constant's."""
    return record.world is not None and not unmeasured(record.world.config)


def learnt(samples: Samples) -> Samples:
    """Those that a fit learns from."""
    return samples.take([i for i, record in enumerate(samples.records) if learnt_from(record)])


def fitted(samples: Samples, first: Constants | None = None) -> dict[Slot, float]:
    """Training by logarithms, serving by relative errors, whose spread is so wide that the two differ."""
    samples = learnt(samples)
    evaluate, target = samples.evaluate(), samples.target
    if samples.training:
        return fit(samples.scheme, samples.keys, evaluate, target, samples.weight(), first)

    def errors(values: Mapping[str, Array]) -> Array:
        return serving.relative(evaluate(values) - target)

    return fit(samples.scheme, samples.keys, errors, 0 * target, samples.weight(), first)


def said(samples: Samples, constants: Constants) -> Array:
    """Predictions in the unit of what was measured."""
    logs = predicted(samples.scheme, constants, samples.keys, samples.evaluate())
    if not samples.training:
        ranks = [float((record.ask or {}).get("ranks", 1)) for record in samples.records]
        return np.asarray(np.exp(logs) * ranks)
    return np.array([step_seconds(r, float(x)) for r, x in zip(samples.records, np.exp(logs), strict=True)])


def table(scheme: Scheme, constants: Constants) -> dict[str, dict[str, dict[str, float]]]:
    """Level -> key -> constant, four figures: the shared ones as they are, the others as factors that differ from 1."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (level, key, name), value in constants.items():
        factor = float(np.exp(value)) * (scheme.defaults[name] if level == "shared" else 1.0)
        group = found.setdefault(level, {}).setdefault(key, {})
        if level == "shared" or abs(factor - 1) >= 0.005:
            group[name] = float(f"{factor:.4g}")
    return found
