"""Memory of the fullest rank, and parameters declared against derived."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from compiler.checks import Check, Status, check
from compiler.costs import room
from compiler.costs.case import case
from compiler.costs.total import Costs
from compiler.costs.work.memory import memory
from compiler.frameworks.adapter import adapter
from compiler.invariants.registry import costed
from compiler.specs.config import Config
from compiler.world import World

RAN = 1.07
"""Part of a GPU's memory up to which a training plan is warned of instead of refused. Of 1,083 measured training runs, as they are
stated, 20 come to 1.00 to 1.064 of it: what they leave unsaid (gradients in BF16, weights in FP8, modules that run again) lessens
it. With what their recipes say of these, four of 1,096 come above it, to 1.12 and more, which leave unsaid what runs again.
"""

PARTS = ("weights", "gradients", "optimizer", "activations", "kv_cache", "other")


@costed("memory")
def fits(world: World, costs: Costs) -> Iterator[Check]:
    """The fullest rank's parts add up to less than a GPU has, and so does the upper end of what they may come to."""
    memory = costs.to_dict()["memory"]
    total, high, capacity = memory["total_bytes"], memory["total_high_bytes"], memory["capacity_bytes"]
    parts = ", ".join(f"{part} {memory[f'{part}_bytes'] / 1e9:.2f}" for part in PARTS if memory[f"{part}_bytes"])
    near = total <= capacity < (high or 0)
    above = capacity < total <= RAN * capacity and world.config.workload.train
    needs = f"rank {memory['worst_rank']} needs {total / 1e9:.2f} of {capacity / 1e9:.2f} GB ({total / capacity:.0%})"
    edge = f"; four runs of five need up to {high / 1e9:.2f} GB, which is more than there is" if near else ""
    if above:
        edge = f"; it runs out of memory unless something unsaid lessens that, as of runs that came to {RAN:.0%} of it"
    yield check(
        "memory",
        holds=total <= capacity and not near,
        observed=f"{total:.0f}",
        limit=f"{capacity:.0f}",
        message=f"{needs}: {parts}{edge}",
        fix=_lessen(world.config, memory),
        otherwise=Status.WARN if near or above else Status.FAIL,
    )


def exceeded(found: Check) -> bool:
    """Whether a plan needs more memory than there is, refused or not."""
    return found.id == "memory" and float(found.observed) > float(found.limit)


def _lessen(config: Config, memory: dict[str, float]) -> str:
    """What makes the large parts smaller, the largest first."""
    parts = sorted((part for part in LEVERS if memory[f"{part}_bytes"]), key=lambda part: -memory[f"{part}_bytes"])
    levers = [lever for part in parts[:3] for lever in LEVERS[part](config)]
    named = f"lessen {parts[0].replace('kv_cache', 'the KV cache')} ({memory[f'{parts[0]}_bytes'] / 1e9:.2f} GB)"
    return f"{named}: write {' or '.join([*dict.fromkeys(levers), DEGREES[parts[0]]])}"


def _states(config: Config) -> Iterator[str]:
    """Optimizer states go to the host, or over the ranks that hold the same weights."""
    workload = config.workload
    if workload.optimizer_offload < 1:
        yield "workload.optimizer_offload=1"
    yield from _sharded(config, 1)


def _gradients(config: Config) -> Iterator[str]:
    """They are added up narrower, or cut."""
    workload = config.workload
    if workload.states.gradients == "fp32" and workload.precision != "fp32":
        yield from _heard(config, "states.gradients", "bf16")
    yield from _sharded(config, 2)


def _heard(config: Config, key: str, value: str) -> Iterator[str]:
    """A value of a key that the framework can be told of."""
    heard = adapter(config.framework.name).hears
    if heard is None or key in heard:
        yield f"workload.{key}={value}"


def _sharded(config: Config, least: int) -> Iterator[str]:
    workload = config.workload
    if workload.train and not workload.distributed_optimizer:
        yield "workload.distributed_optimizer=true"
    now = max(workload.zero_stage, int(workload.distributed_optimizer))
    yield from (f"workload.zero_stage={stage}" for stage in range(max(least, now + 1), 4))


def _weights(config: Config) -> Iterator[str]:
    """Of training they are cut, of serving narrowed."""
    workload = config.workload
    if workload.train:
        if workload.precision in ("fp8", "mxfp8") and workload.states.weights is None:
            yield from _heard(config, "states.weights", "fp8")
        yield from _sharded(config, 3)
    elif workload.precision != "fp8" and config.hardware.gpu.peak_flops.fp8 and not config.model.stored:
        yield "workload.precision=fp8"  # a quantised checkpoint would be widened


def _activations(config: Config) -> Iterator[str]:
    workload = config.workload
    if workload.micro_batch_size > 1:
        yield "workload.micro_batch_size=1"
    if workload.train and workload.recompute == "none":
        yield "workload.recompute=selective"
    if workload.train and workload.recompute != "full":
        yield "workload.recompute=full"
    if workload.train and config.degrees.tp > 1 and not config.sequence_parallel:
        yield "workload.sequence_parallel=true"

    if workload.train:
        yield from _shorter(config)


def _shorter(config: Config) -> Iterator[str]:
    """A rank has fewer rows of a sequence where tp (with sequence parallelism) or cp takes ranks of data parallelism."""
    adp, free = config.degrees.adp, "parallel.dp=null " * (config.parallel.dp is not None)
    again = "workload.recompute=full " * (config.workload.recompute != "full")
    for factor in (2, 4, 8):
        for axis, size in (("tp", config.degrees.tp), ("cp", config.degrees.cp)):
            inside = axis != "tp" or size * factor <= config.hardware.nvlink.domain_gpus
            if adp % factor == 0 and inside:
                yield f"{again}parallel.{axis}={size * factor} {free}parallel.adp={adp // factor}"


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
    "gradients": _gradients,
    "optimizer": _states,
    "activations": _activations,
    "kv_cache": _cache,
}
"""Part of the memory -> overrides that make it smaller."""

_CUT = "a larger pp or ep, or tp within NVLink"
DEGREES = {
    "weights": _CUT,
    "gradients": _CUT,
    "optimizer": f"{_CUT}, or more ranks of data parallelism",
    "activations": "a larger cp, or tp within NVLink with sequence parallelism",
    "kv_cache": "a larger pp, adp or cp, or tp up to the number of KV heads",
}
"""Part of the memory -> degrees that cut it."""


@costed("cache-room")
def cached(world: World, costs: Costs) -> Iterator[Check]:
    """A server lets in what its cache has room for, and the others wait; where not one sequence fits it does not start."""
    config, workload = world.config, world.config.workload
    if workload.train:
        return
    this = case(world)
    all_of, length = memory(this, costs.held), workload.longest + workload.output_length
    has, asked = room.given(this, all_of), all_of.kv_cache_bytes
    one = room.one_sequence(this, workload.longest, workload.output_length)
    stage = int(np.argmin(has / np.maximum(asked, 1)))
    clients, let_in = (
        workload.global_batch_size,
        room.running(this, costs.held, workload.longest).workload.global_batch_size,
    )
    none_fits = bool((has < one).any())
    if none_fits and costs.memory.total_bytes.max() > costs.capacity_bytes:
        return  # whatever part the server takes: that is said of memory
    who = "a server" if config.framework.name == "none" else config.framework.name
    waiting = f"about {let_in} run at a time, and {clients - let_in} wait"
    if let_in == clients:
        waiting = "all run while answers are half way on average, and some wait where they are not"
    yield check(
        holds=bool((has >= asked).all()),
        observed=f"{clients} sequences",
        limit=f"{0 if none_fits else let_in}",
        message=f"{who} has {has[stage] / 1e9:.2f} GB of a GPU for its KV cache, and "
        + (
            f"one sequence of {length:,} tokens needs {one[stage] / 1e9:.2f}"
            if none_fits
            else f"{clients} sequences of {length:,} tokens need {asked[stage] / 1e9:.2f} on the fullest: {waiting}"
        ),
        fix=_more_room(config, this.room.option if none_fits else ""),
        otherwise=Status.FAIL if none_fits else Status.WARN,
    )


def _more_room(config: Config, option: str) -> str:
    """What makes a server's cache hold more sequences; `option` sets its size, where not one fits."""
    narrower = "" if config.workload.kv_cache_precision == "fp8" else ", or write workload.kv_cache_precision=fp8"
    first = f"raise {option} in framework.args" if option else "lower workload.global_batch_size"
    return f"{first}, raise pp, adp, or tp within NVLink{narrower}"


@costed()
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
            holds=abs(stated - found) <= 0.02 * stated,
            observed=f"{found:.0f}",
            limit=f"{stated:.0f}",
            message=f"model.declared.{name} is {stated / 1e9:.2f}B; the architecture has {found / 1e9:.2f}B; the larger of each class is planned with",
            fix=f"mend the architecture, or leave model.declared.{name} out",
            otherwise=Status.WARN,
        )
