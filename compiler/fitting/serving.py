"""The constants of serving engines, fitted to measured times to the first token and for each further one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from compiler.costs.case import Array
from compiler.costs.engine import Demand, Pass, serve
from compiler.costs.software import Engine
from compiler.fitting.levels import Evaluate, Scheme

NAMES = tuple(item.name for item in fields(Engine))
TPOT, TTFT, RATE, FILL = 0, 1, 2, 3
"""What a sample measures: seconds for a token, to the first token, tokens/s of a GPU, or prompt tokens/s of a GPU."""

_KERNELS = [name for name in NAMES if name.startswith(("d_", "p_"))]
SCHEME = Scheme(
    defaults={name: getattr(Engine(), name) for name in NAMES},
    shared=dict.fromkeys(NAMES, 0.7),
    spreads={
        "backend": dict.fromkeys(NAMES, 0.25),
        "release": {"d_kernel_s": 0.15, "d_expert_s": 0.2, "d_step_s": 0.2, "first_s": 0.4, "queue": 0.4, "mixed": 0.2}
        | {"p_products": 0.2, "p_grouped": 0.2, "p_elementwise": 0.2, "p_tp": 0.2, "d_products": 0.1, "d_grouped": 0.15}
        | {"d_core": 0.15, "crowd": 0.3},
        "gpu": dict.fromkeys(_KERNELS, 0.2) | {"first_s": 0.2},
        "precision": {"d_products": 0.2, "d_grouped": 0.2, "d_core": 0.2, "p_products": 0.2, "p_grouped": 0.2}
        | {"d_kernel_s": 0.1, "d_expert_s": 0.1, "p_core": 0.1, "p_elementwise": 0.2},
    },
)
"""How far each level may change a constant, in logarithms."""


def stack(loads: Sequence[Demand]) -> Demand:
    """Many workers' demands as one, shape [samples]."""

    def column(items: Sequence[object], name: str) -> Array:
        return np.array([float(np.max(getattr(item, name))) for item in items])

    columns: dict[str, Any] = {
        side: Pass(**{f.name: column([getattr(load, side) for load in loads], f.name) for f in fields(Pass)})
        for side in ("decode", "prompt")
    }
    columns |= {f.name: column(loads, f.name) for f in fields(Demand) if f.name not in columns}
    return Demand(**columns)


def evaluate(loads: Sequence[Demand], kinds: Sequence[int], ranks: Sequence[float]) -> Evaluate:
    """Logarithms of what each sample measures; `ranks`: GPUs of an attention-DP rank, for rates."""
    joined, kind, gpus = stack(loads), np.array(kinds), np.array(ranks)

    def logarithms(values: Mapping[str, Array]) -> Array:
        found = serve(joined, Engine(**values))  # type: ignore[arg-type]  # arrays in the place of numbers
        rate = found.running / (found.tpot_s * gpus)
        fill = joined.prompt_tokens / (found.prompt_s * gpus)
        return np.asarray(np.log(np.choose(kind, [found.tpot_s, found.ttft_s, rate, fill])))

    return logarithms
