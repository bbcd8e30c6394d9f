"""Memory of the fullest rank, and parameters declared against derived."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from compiler.checks import Check, check
from compiler.costs.servers import room
from compiler.costs.total import Costs
from compiler.invariants.registry import costed
from compiler.specs.config import Config
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
        _lessen(world.config, memory),
    )


def _lessen(config: Config, memory: dict[str, float]) -> str:
    """What makes the large parts smaller, the largest first."""
    parts = sorted((part for part in LEVERS if memory[f"{part}_bytes"]), key=lambda part: -memory[f"{part}_bytes"])
    levers = [lever for part in parts[:3] for lever in LEVERS[part](config)]
    named = f"lessen {parts[0].replace('kv_cache', 'the KV cache')} ({memory[f'{parts[0]}_bytes'] / 1e9:.2f} GB)"
    return f"{named}: write {' or '.join([*dict.fromkeys(levers), 'a larger tp, pp or ep'])}"


def _states(config: Config) -> Iterator[str]:
    """Optimizer states go to the host, or over the ranks that hold the same weights."""
    workload = config.workload
    if workload.optimizer_offload < 1:
        yield "workload.optimizer_offload=1"
    yield from _sharded(config, 1)


def _sharded(config: Config, least: int) -> Iterator[str]:
    workload = config.workload
    if workload.train and not workload.distributed_optimizer:
        yield "workload.distributed_optimizer=true"
    yield from (f"workload.zero_stage={stage}" for stage in range(max(least, workload.zero_stage + 1), 4))


def _weights(config: Config) -> Iterator[str]:
    """Of training they are cut, of serving narrowed."""
    workload = config.workload
    if workload.train:
        yield from _sharded(config, 3)
    elif workload.precision != "fp8" and config.hardware.gpu.peak_flops.fp8:
        yield "workload.precision=fp8"


def _activations(config: Config) -> Iterator[str]:
    workload = config.workload
    if workload.train and workload.recompute != "full":
        yield "workload.recompute=full"
    if workload.micro_batch_size > 1:
        yield "workload.micro_batch_size=1"
    if workload.train and config.degrees.tp > 1 and not config.sequence_parallel:
        yield "workload.sequence_parallel=true"


def _cache(config: Config) -> Iterator[str]:
    workload, adp = config.workload, config.degrees.adp
    if workload.kv_cache_precision != "fp8":
        yield "workload.kv_cache_precision=fp8"
    for part in (2, 8, 32):
        if workload.global_batch_size // part >= adp:
            yield f"workload.global_batch_size={workload.global_batch_size // part // adp * adp}"
    shorter = [length for length in workload.sequence_lengths if length < workload.longest]
    if shorter:
        yield f"workload.sequence_lengths={str(shorter).replace(' ', '')}"


LEVERS: dict[str, Callable[[Config], Iterator[str]]] = {
    "weights": _weights,
    "gradients": lambda config: _sharded(config, 2),
    "optimizer": _states,
    "activations": _activations,
    "kv_cache": _cache,
}
"""Part of the memory -> overrides that make it smaller."""


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
