"""Memory of the fullest rank, and parameters declared against derived."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compiler.checks import Check, check
from compiler.costs.servers import room
from compiler.costs.total import Costs
from compiler.invariants.registry import costed
from compiler.world import World

PARTS = ("weights", "gradients", "optimizer", "activations", "kv_cache", "other")


@costed
def fits(world: World, costs: Costs) -> Iterator[Check]:
    """The fullest rank's parts add up to less than a GPU has."""
    memory = costs.to_dict()["memory"]
    total, capacity = memory["total_bytes"], memory["capacity_bytes"]
    parts = ", ".join(f"{part} {memory[f'{part}_bytes'] / 1e9:.2f}" for part in PARTS if memory[f"{part}_bytes"])
    yield check(
        "memory",
        total <= capacity,
        f"{total:.0f}",
        f"{capacity:.0f}",
        f"rank {memory['worst_rank']} needs {total / 1e9:.2f} of {capacity / 1e9:.2f} GB ({total / capacity:.0%}): {parts}",
        "raise tp, pp or ep, lower the batch or the sequence length, or recompute activations",
    )


@costed
def cached(world: World, costs: Costs) -> Iterator[Check]:
    """A server gives its cache a share of the memory, and lets what does not fit wait."""
    config, memory, workload = world.config, costs.memory, world.config.workload
    server = room(config.framework)
    if server is None or workload.train:
        return
    other = memory.total_bytes - memory.weights_bytes - memory.kv_cache_bytes
    given = server.cache_bytes(costs.capacity_bytes, memory.weights_bytes, other)
    shares = given / np.maximum(memory.kv_cache_bytes, 1)
    stage, held = int(np.argmin(shares)), -(-workload.global_batch_size // config.degrees.adp)
    fitting = int(held * shares[stage])
    waiting = f": about {fitting} run at a time, the others wait" if fitting < held else ""
    narrower = "" if workload.kv_cache_precision == "fp8" else ", or write workload.kv_cache_precision=fp8"
    yield check(
        "cache-room",
        fitting >= held,
        f"{held} sequences",
        f"{fitting}",
        f"{config.framework.name} has {given[stage] / 1e9:.2f} GB of a GPU for its KV cache, and {held} sequences of "
        f"{workload.longest + workload.output_length:,} tokens need {memory.kv_cache_bytes[stage] / 1e9:.2f}{waiting}",
        f"lower workload.global_batch_size, raise tp, pp or adp{narrower}",
        otherwise="warn",
    )


@costed
def declared_parameters(world: World, costs: Costs) -> Iterator[Check]:
    """A stated count should come out of the architecture that is stated with it."""
    params, declared = costs.to_dict()["params"], world.config.model.declared
    derived = params["derived_dense"] + params["derived_moe"]
    pairs = (
        ("params", declared.params, derived),
        ("dense_params", declared.dense_params, params["derived_dense"]),
        ("moe_params", declared.moe_params, params["derived_moe"]),
    )
    for name, stated, found in pairs:
        if stated is None:
            continue
        yield check(
            f"declared-{name.replace('_', '-')}",
            abs(stated - found) <= 0.02 * stated,
            f"{found:.0f}",
            f"{stated:.0f}",
            f"model.declared.{name} is {stated / 1e9:.2f}B; the architecture has {found / 1e9:.2f}B; the larger of each class is planned with",
            f"mend the architecture, or leave model.declared.{name} out",
            otherwise="warn",
        )
