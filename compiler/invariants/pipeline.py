"""Layers to stages, and micro-batches through them."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks.stage_rule import stage_layers
from compiler.invariants.registry import declared
from compiler.specs.config import Config


@declared
def layers(config: Config) -> Iterator[Check]:
    """Every layer is on exactly one stage or chunk, and none is empty."""
    parallel, total = config.parallel, config.model.num_hidden_layers
    parts = parallel.pp * parallel.vpp
    counts = stage_layers(config)
    unit = "chunks" if parallel.vpp > 1 else "stages"
    if counts is None:
        yield _indivisible(total, parts, unit)
        return
    good = len(counts) == parts and sum(counts) == total and min(counts) > 0
    message = f"{len(counts)} {unit} hold {sum(counts)} of {total} layers, {min(counts, default=0)} to {max(counts, default=0)} each"
    yield check(
        "layers-to-stages",
        good,
        sum(counts),
        total,
        message,
        f"write parallel.stages={_shares(total, parts)}, or leave parallel.stages out",
    )
    if total % parts and parallel.stages is None:
        yield check(
            "stages-uneven",
            False,
            f"{list(counts)}",
            "equal",
            f"{total} layers over {parts} {unit} are split by {config.framework.name}'s rule: {list(counts)}",
            "write parallel.stages to choose",
            otherwise="warn",
        )


def _indivisible(total: int, parts: int, unit: str) -> Check:
    """No rule deals `total` layers out to `parts` stages or chunks."""
    return check(
        "layers-to-stages",
        False,
        f"{total} / {parts}",
        "a whole number",
        f"{total} layers over {parts} {unit} is {total / parts:g} each",
        f"write {f'parallel.stages={_shares(total, parts)} or ' if parts <= total else ''}a pp*vpp that divides {total}",
    )


def _shares(total: int, parts: int) -> str:
    """Layers of each stage or chunk, as even as can be."""
    return str([total // parts + (i < total % parts) for i in range(parts)]).replace(" ", "")


@declared
def virtual(config: Config) -> Iterator[Check]:
    """Virtual chunks interleave stages, so there must be several, and a schedule that uses them."""
    parallel, schedule = config.parallel, config.workload.schedule
    if parallel.vpp > 1:
        yield check(
            "virtual-pipeline",
            parallel.pp > 1,
            f"vpp={parallel.vpp} pp={parallel.pp}",
            "pp > 1",
            f"vpp={parallel.vpp} needs a pipeline, and pp is {parallel.pp}",
            "write pp2 or more, or leave vpp out",
        )
    if config.workload.train and schedule == "interleaved":
        yield check(
            "schedule",
            parallel.vpp > 1,
            f"vpp={parallel.vpp}",
            "vpp > 1",
            f"workload.schedule=interleaved with vpp={parallel.vpp} has nothing to interleave",
            "write workload.schedule=1f1b, or vpp2 or more",
        )


@declared
def batch(config: Config) -> Iterator[Check]:
    """Sequences divide over attention DP and micro-batches."""
    workload, adp = config.workload, config.degrees.adp
    total, micro = workload.global_batch_size, workload.micro_batch_size
    step = adp * micro
    yield check(
        "batch",
        total % step == 0,
        f"{total} % {step} = {total % step}",
        "0",
        f"global_batch_size {total} over adp={adp} ranks in micro-batches of {micro} is {total / step:g} micro-batches each",
        f"write workload.global_batch_size={max(-(-total // step), 1) * step}",
    )


@declared
def busy(config: Config) -> Iterator[Check]:
    """A pipeline is full only with as many micro-batches as stages."""
    workload, degrees = config.workload, config.degrees
    if degrees.pp == 1:
        return
    micro_batches = workload.global_batch_size // (degrees.adp * workload.micro_batch_size)
    interleaved, step = workload.train and degrees.vpp > 1, degrees.pp * degrees.adp * workload.micro_batch_size
    yield check(
        "micro-batches",
        micro_batches >= degrees.pp,
        micro_batches,
        degrees.pp,
        f"{micro_batches} micro-batches fill at most {micro_batches} of {degrees.pp} stages: {min(1.0, micro_batches / degrees.pp):.0%} busy",
        f"write workload.global_batch_size={step} or a smaller pp",
        otherwise="fail" if interleaved else "warn",
    )
    if interleaved:
        yield check(
            "interleaving",
            micro_batches % degrees.pp == 0,
            f"{micro_batches} % {degrees.pp} = {micro_batches % degrees.pp}",
            "0",
            f"interleaving runs micro-batches in rounds of pp={degrees.pp}, and there are {micro_batches}",
            f"write workload.global_batch_size={-(-max(micro_batches, 1) // degrees.pp) * step}",
        )
