"""Many plans at once cost what each of them costs."""

from __future__ import annotations

import itertools
import resource
import time

import numpy as np
import pytest

from benchmarks.rows.hardware import nominal
from compiler import calibrated
from compiler.costs.calibration import Calibration
from compiler.costs.many import Many, project
from compiler.costs.total import cost
from tests.worlds import DEEPSEEK_V3, LLAMA_70B, TRAIN, world

H100 = nominal("h100_80gb")


def measured() -> Calibration:
    found = calibrated.gpu("h100_80gb")
    assert found is not None
    return Calibration(found)


@pytest.mark.parametrize(
    ("model", "degrees"),
    [
        (LLAMA_70B, [(4, 1, 4, 1, 1, 1, 8), (8, 2, 4, 1, 1, 1, 2), (1, 1, 2, 1, 1, 1, 64), (8, 1, 4, 5, 1, 1, 4)]),
        (DEEPSEEK_V3, [(1, 1, 1, 1, 8, 1, 128), (2, 1, 1, 1, 32, 1, 64), (4, 1, 1, 1, 16, 4, 32)]),
    ],
)
def test_each_is_what_it_is_alone(model: object, degrees: list[tuple[int, ...]]) -> None:
    assert model in (LLAMA_70B, DEEPSEEK_V3)
    architecture = LLAMA_70B if model is LLAMA_70B else DEEPSEEK_V3
    plans = Many(*(np.array(column, dtype=float) for column in zip(*degrees, strict=True)))
    seconds, used = project(architecture, TRAIN, H100, plans, measured())
    for index, (tp, cp, pp, vpp, ep, etp, adp) in enumerate(degrees):
        name = f"tp{tp}_cp{cp}_pp{pp}_vpp{vpp}_ep{ep}_etp{etp}_adp{adp}"
        alone = cost(world(name, architecture, TRAIN, H100), measured())
        assert alone.projection is not None
        assert seconds[index] == pytest.approx(alone.projection.step_time_s, rel=2e-3)
        assert used[index] == pytest.approx(alone.memory.total_bytes.max(), rel=1e-9)


def test_a_hundred_thousand_plans_in_seconds() -> None:
    powers = [(tp, cp, pp) for tp in (1, 2, 4, 8) for cp in (1, 2, 4) for pp in (1, 2, 4, 8)]
    chosen = list(itertools.islice(itertools.cycle(powers), 100_000))
    tp, cp, pp = (np.array(column, dtype=float) for column in zip(*chosen, strict=True))
    ones = np.ones_like(tp)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    seconds, _ = project(LLAMA_70B, TRAIN, H100, Many(tp, cp, pp, ones, ones, ones, 1024 / (tp * cp * pp)), measured())
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2e6  # kB
    assert np.isfinite(seconds).all()
