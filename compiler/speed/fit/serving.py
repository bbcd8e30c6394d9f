"""The constants of serving engines, fitted to measured times to the first token and for each further one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.engine import Demand, Served, serve
from compiler.costs.forward_pass import Pass
from compiler.costs.software import Engine
from compiler.speed.fit.levels import Evaluate, Scheme

NAMES = tuple(item.name for item in fields(Engine))
TPOT, TTFT, RATE, FILL = 0, 1, 2, 3
"""What a sample measures: seconds for a token, to the first token, tokens/s of a GPU, or prompt tokens/s of a GPU."""

NOISE = {"tpot": 0.15, "ttft": 0.3, "serving_throughput": 0.2}
"""Spread of measured values around a good model, as relative errors."""

ENOUGH = {"tpot": 200.0, "ttft": 800.0, "serving_throughput": 80.0}
"""Rows of one source and family beyond which more of them count no more: those of one model and release are wrong together."""

NEAR = 0.7
ROBUST = 0.15
"""Logarithm up to which an error counts as relative, and relative error up to which its square counts."""

STARTS = {
    "sglang": {"mixed": 0.5, "queue": 1.5},
    "trtllm": {"first_s": 1.4, "poll": 1.5, "mixed": 1.2, "gather": 20.0},
    "vllm": {"first_s": 0.75, "poll": 0.85, "mixed": 1.2, "gather": 0.6},
}
"""What each engine makes of the shared constants, where it does not start at 1: round numbers. SGLang fills before it decodes, so
that those who came together leave together; TensorRT-LLM hands tokens out a step late and waits for prompts on all
attention-DP ranks."""

SCHEME = Scheme(
    defaults={name: getattr(Engine(), name) for name in NAMES},
    shared=dict.fromkeys(NAMES, 0.1)
    | {"decode": 0.0, "p_ep": 0.15}
    | dict.fromkeys(("d_tp", "p_tp", "d_grouped", "p_grouped"), 0.05),
    spreads={
        "backend": {"mixed": 0.15, "queue": 0.15, "poll": 0.15, "gather": 0.35, "first_s": 0.25, "p_mla_s": 0.25},
        "gpu": {"decode": 0.02, "prefill": 0.025, "first_s": 0.4},
    },
    starts={("backend", name, constant): at for name, found in STARTS.items() for constant, at in found.items()},
)
"""How far each level may change a constant, in logarithms. Few constants, and tight: an engine's own scheduling, and little for a GPU on
what is measured kernel by kernel; the host beside it differs more. Twice as wide fits rows in sight better, and those of models that
were left out worse. None hangs on a release, which most plans do not name and newer ones change."""


def stack(loads: Sequence[Demand]) -> Demand:
    """Many workers' demands as one, shape [samples]."""

    def column(items: Sequence[object], name: str) -> Array:
        return np.array([float(np.max(getattr(item, name))) for item in items])

    columns: dict[str, Any] = {
        side: Pass(**{f.name: column([getattr(load, side) for load in loads], f.name) for f in fields(Pass)})
        for side in ("decode", "prompt", "group")
    }
    columns |= {f.name: column(loads, f.name) for f in fields(Demand) if f.name not in columns}
    return Demand(**columns)


def evaluate(loads: Sequence[Demand], kinds: Sequence[int], ranks: Sequence[float]) -> Evaluate:
    """Logarithms of what each sample measures; `ranks`: GPUs of an attention-DP rank, for rates."""
    joined, kind, gpus = stack(loads), np.array(kinds), np.array(ranks)

    def logarithms(values: Mapping[str, Array]) -> Array:
        found = serve(joined, Engine(**values))  # type: ignore[arg-type]  # arrays in the place of numbers
        return np.asarray(np.log(np.choose(kind, observed(joined, found, gpus))))

    return logarithms


def observed(load: Demand, found: Served, gpus: Array | float) -> tuple[Array, Array, Array, Array]:
    """TPOT, TTFT, RATE and FILL of a worker with `gpus` for each attention-DP rank."""
    rate = found.running / (found.tpot_s * gpus)
    return found.tpot_s, found.ttft_s, rate, load.prompt_tokens / (found.prompt_s * gpus)


def relative(off: Array) -> Array:
    """Relative errors from logarithms of predicted over measured, as errors are counted; straight in the logarithm from NEAR
    on. Their squares grow with the error itself beyond ROBUST (Huber), as some rows are of runs that failed or hung.
    """
    near = np.clip(off, -NEAR, NEAR)
    error = np.expm1(near) + off - near
    size = np.maximum(np.abs(error), ROBUST)
    bent = np.sign(error) * np.sqrt(2 * ROBUST * size - ROBUST**2)
    return np.asarray(np.where(np.abs(error) > ROBUST, bent, error))
