"""Which ZeRO stages and which of ZeRO++ go with a pipeline, with tp and with experts."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, rule
from compiler.frameworks.deepspeed import emit, json_args, layout
from compiler.frameworks.deepspeed.layout import named
from compiler.frameworks.versions import version
from compiler.specs.config import Config


@rule
def pipeline(config: Config) -> Iterator[Check]:
    stage, pp = emit.zero_stage(config), config.degrees.pp
    if pp > 1:
        yield check(
            "deepspeed-zero-pipeline",
            holds=stage < 2,
            observed=f"ZeRO {stage}",
            limit="ZeRO 0 or 1",
            message=f"{named(config)} runtime/pipe/engine.py takes ZeRO 0 or 1 with a pipeline; zero_stage={stage} with pp={pp}",
            fix="write workload.zero_stage=1, or pp1",
        )


@rule
def plus(config: Config) -> Iterator[Check]:
    """ZeRO++ cuts the ranks in blocks whatever they are: with tp a block mixes shards of different weights."""
    world, tp, node = config.degrees.world_size, config.degrees.tp, config.hardware.node.gpus
    asked = {
        "zero_hpz_partition_size": json_args.secondary_partition(config),
        "zero_quantized_gradients": min(node, world) if json_args.quantized_gradients(config) else 1,
    }
    for key, size in asked.items():
        if size > 1:
            yield check(
                "deepspeed-zero-plus",
                holds=world % size == 0 and tp == 1,
                observed=f"{world} ranks, tp={tp}",
                limit=f"multiples of {size}, tp=1",
                message=f"{named(config)} utils/groups.py cuts all {world} ranks into blocks of {size} for {key}, tp ranks "
                f"(tp={tp}) included",
                fix=f"leave {json_args.PREFIX}zero_optimization.{key} out, or write tp1 and a world of whole blocks",
            )


@rule
def of_experts(config: Config) -> Iterator[Check]:
    stage, chosen = emit.zero_stage(config), layout.chosen(config)
    if stage < 3:
        return
    good = chosen.auto and bool(version(config).facts.get("autoep_zero3"))
    yield check(
        "deepspeed-zero3-moe",
        holds=good,
        observed=f"ZeRO {stage}, {chosen.name}",
        limit="autoep",
        message=f"{named(config)} runtime/engine.py has ZeRO 3 for AutoEP's experts alone (from 0.19.3); zero_stage={stage} with "
        f"expert_layout={chosen.name}",
        fix="write workload.zero_stage=2, or framework.expert_layout=autoep with etp1",
    )
