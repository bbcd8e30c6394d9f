"""Random plans for DeepSpeed, whether it is here, and where it differs."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.frameworks.adapter import adapter
from compiler.frameworks.deepspeed import layout
from compiler.frameworks.deepspeed.prove import prove
from compiler.frameworks.proof import Finding
from compiler.specs.config import Config, Framework
from compiler.specs.degrees import Parallel
from compiler.world import World
from tests.worlds import GENERIC, MOE_30B, TRAIN

VERSION = "0.19.8"
NEEDED = ("torch", "hjson", "msgpack", "psutil", "cpuinfo", "pydantic", "tqdm", "einops")
MISSING = [name for name in (*NEEDED, "deepspeed") if importlib.util.find_spec(name) is None]
PLANS = 60

needs_deepspeed = pytest.mark.skipif(bool(MISSING), reason=f"deepspeed=={VERSION} needs {', '.join(MISSING)}")


def config(random_: random.Random, name: str) -> Config:
    """Random degrees of up to 384 ranks, of a MoE model whose experts suit them; some are refused."""
    chosen = layout.LAYOUTS[name]
    tp, pp = random_.choice((1, 2, 3, 4, 6, 8)), random_.choice((1, 1, 2, 3, 4))
    adp = random_.choice((1, 2, 3, 4, 6, 8, 12, 16))
    lanes = adp if chosen.split else adp * tp
    ep = random_.choice([size for size in range(1, lanes + 1) if lanes % size == 0])
    model = replace(MOE_30B, num_experts=ep * random_.choice((1, 2, 5)), num_hidden_layers=pp + random_.randrange(20))
    model = replace(model, num_experts_per_tok=min(model.num_experts, random_.choice((1, 2, 4))))
    micro = random_.choice((1, 2))
    workload = replace(
        TRAIN,
        micro_batch_size=micro,
        global_batch_size=adp * micro * random_.randrange(1, 9),
        zero_stage=random_.choice((0, 1, 1, 2)),
        distributed_optimizer=random_.random() < 0.5,
        precision=random_.choice(("bf16", "fp16", "fp32")),
        sequence_parallel=False,
        recompute=(recompute := random_.choice(("none", "full"))),
        optimizer_offload=random_.choice((0.0, 0.0, 1.0)),
        activation_offload=float(recompute == "full" and random_.random() < 0.5),
    )
    return Config(
        hardware=GENERIC,
        model=model,
        parallel=Parallel(tp=tp, pp=pp, ep=ep, adp=adp, etp=tp if chosen.split else 1),
        workload=workload,
        framework=Framework(name="deepspeed", expert_layout=name),
    )


def accepted(given: Config) -> bool:
    return not any(item.status == "fail" for item in adapter("deepspeed").declared(given))


def plans(name: str) -> Iterator[Config]:
    """The same ones every time, PLANS of those that we accept."""
    random_, count = random.Random(name), 0
    while count < PLANS:
        found = config(random_, name)
        if accepted(found):
            count += 1
            yield found


def differences(world: World, source: Path | None = None) -> list[Finding]:
    return [finding for finding in prove(world, source) if not finding.equal]
