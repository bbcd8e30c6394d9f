"""Random plans for torchtitan, valid or not."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.torchtitan_configs import BASE, REPLICATE, TITAN


def random_config(seed: int) -> Config:
    """Up to 128 ranks, MoE or dense, with copies, uneven and named stages, and every schedule and backend; not all valid."""
    pick = random.Random(seed)
    moe = pick.random() < 0.7
    tp, cp, pp, adp = (pick.choice(sizes) for sizes in ([1, 2, 4], [1, 1, 2, 3], [1, 2, 3, 4], [1, 2, 4, 6, 8]))
    vpp = pick.choice([1, 1, 2, 3]) if pp > 1 else 1
    ep = pick.choice([1, 2, 4, 8, 16]) if moe else 1
    parts, copies = pp * vpp, pick.choice([1, 1, 2, 3, adp])
    layers = pick.choice([parts, 24, 31]) + pick.randrange(3)
    values: dict[str, Any] = {
        "parallel.etp": tp if ep == 1 and moe else 1,
        "parallel.vpp": vpp,
        "model.num_hidden_layers": max(layers, parts),
        "workload.schedule": pick.choice(["interleaved", "zero_bubble"]) if vpp > 1 else "1f1b",
        "workload.recompute": pick.choice(["none", "selective", "full"]),
        "workload.optimizer_offload": pick.choice([0.0, 0.0, 1.0]),
        "workload.zero_stage": pick.choice([0, 2, 3]),
        "workload.global_batch_size": adp * pp * 2,
        "workload.sequence_length": 4096 * 3,
    }
    values |= {
        f"parallel.{name}": size for name, size in (("tp", tp), ("cp", cp), ("pp", pp), ("adp", adp), ("ep", ep))
    }
    if pick.random() < 0.3:
        cuts = sorted(pick.sample(range(1, values["model.num_hidden_layers"]), parts - 1))
        ends = [0, *cuts, values["model.num_hidden_layers"]]
        values["parallel.stages"] = [after - first for first, after in pairwise(ends)]
    words = [REPLICATE, str(copies)] if copies > 1 else []
    words += [f"--parallelism.spmd-backend={pick.choice(['spmd_types', 'partial_dtensor', 'full_dtensor'])}"]
    less = pick.choice([None, None, 0, 2])
    words += [] if less is None else [f"--parallelism.pipeline_parallel_first_stage_less_layers={less}"]
    model = "moe_30b" if moe else "llama3_1_8b"
    return changed(composed(*BASE, f"model={model}"), {**values, "parallel.dp": None, "framework.args": words})


def valid(config: Config) -> bool:
    from compiler.frameworks.stage_rule import stage_layers

    parts = config.parallel.pp * config.parallel.vpp
    counts = stage_layers(config)
    refused = any(check.status == "fail" for check in TITAN.declared(config))
    return not refused and counts is not None and len(counts) == parts and min(counts) > 0
