"""Layers to stages, and micro-batches through them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.checks import Check, Status, check, failed, warned
from compiler.frameworks.adapter import Empty, adapter
from compiler.frameworks.stage_rule import stage_layers
from compiler.invariants.registry import declared
from compiler.specs.config import Config


@declared()
def layers(config: Config) -> Iterator[Check]:
    """Every layer is on exactly one stage or chunk, and none is empty that the framework wants a layer in."""
    parallel, total = config.parallel, config.model.num_hidden_layers
    parts = parallel.pp * parallel.vpp
    counts = stage_layers(config)
    unit = "chunks" if parallel.vpp > 1 else "stages"
    if not counts:
        yield _indivisible(config, total, parts, unit)
        return
    message = f"{len(counts)} {unit} hold {sum(counts)} of {total} layers, {min(counts, default=0)} to {max(counts, default=0)} each"
    rounds, rest = divmod(len(counts), parallel.pp)
    told = f"parallel.vpp={rounds}, or " if not rest and rounds != parallel.vpp and sum(counts) == total else ""
    yield check(
        "layers-to-stages",
        holds=len(counts) == parts and sum(counts) == total,
        observed=sum(counts),
        limit=total,
        message=message,
        fix=f"write {told}parallel.stages={_shares(total, parts)}, or leave parallel.stages out",
    )
    yield from _empty(config, counts, unit)
    said = parallel.stages is not None or adapter(config.framework.name).said_stages(config) is not None
    if total % parts and not said:
        yield warned(
            "stages-uneven",
            observed=f"{list(counts)}",
            limit="equal",
            message=f"{total} layers over {parts} {unit} are split by {config.framework.name}'s rule: {list(counts)}",
            fix="write parallel.stages to choose",
        )


def _empty(config: Config, counts: Sequence[int], unit: str) -> Iterator[Check]:
    """Stages without a decoder layer, which hold the embedding, MTP layers or the head, or nothing."""
    name, total = config.framework.name, config.model.num_hidden_layers
    if 0 not in counts:
        return
    bad = _refused(config, [at for at, count in enumerate(counts) if count == 0], len(counts))
    yield check(
        "empty-stages",
        holds=not bad,
        observed=", ".join(map(str, bad[:4])) or "none",
        limit=adapter(name).empty_stages.value,
        message=f"{unit} without a layer under framework={name}: {', '.join(map(str, bad[:4]))} of 0 to {len(counts) - 1}; it takes as such: {adapter(name).empty_stages.value}",
        fix=f"write parallel.stages={_shares(total, len(counts))}, or leave parallel.stages out",
    )


def _refused(config: Config, empty: Sequence[int], count: int) -> list[int]:
    rule = adapter(config.framework.name).empty_stages
    taken = {Empty.NONE: (), Empty.ENDS: (0, count - 1), Empty.ANY: range(count)}[rule]
    return [at for at in empty if at not in taken or not config.workload.train]


def _indivisible(config: Config, total: int, parts: int, unit: str) -> Check:
    """No rule deals `total` layers out to `parts` stages or chunks."""
    least = parts - {Empty.NONE: 0, Empty.ENDS: 2, Empty.ANY: parts}[adapter(config.framework.name).empty_stages]
    return failed(
        "layers-to-stages",
        observed=f"{total} / {parts}",
        limit="a whole number",
        message=f"{total} layers over {parts} {unit} is {total / parts:g} each",
        fix=f"write {f'parallel.stages={_shares(total, parts)} or ' if least <= total else ''}a pp*vpp that divides {total}",
    )


def _shares(total: int, parts: int) -> str:
    """Layers of each stage or chunk, as even as can be; where there are fewer, the ends go without."""
    start = int(total < parts)
    return str([total // parts + (start <= i < start + total % parts) for i in range(parts)]).replace(" ", "")


@declared()
def virtual(config: Config) -> Iterator[Check]:
    """Virtual chunks interleave stages, so there must be several, and a schedule that uses them."""
    parallel, schedule = config.parallel, config.workload.schedule
    if parallel.vpp > 1:
        yield check(
            "virtual-pipeline",
            holds=parallel.pp > 1,
            observed=f"vpp={parallel.vpp} pp={parallel.pp}",
            limit="pp > 1",
            message=f"vpp={parallel.vpp} needs a pipeline, and pp is {parallel.pp}",
            fix="write pp2 or more, or leave vpp out",
        )
    if config.workload.train and schedule == "interleaved":
        yield check(
            "schedule",
            holds=parallel.vpp > 1,
            observed=f"vpp={parallel.vpp}",
            limit="vpp > 1",
            message=f"workload.schedule=interleaved with vpp={parallel.vpp} has nothing to interleave",
            fix="write workload.schedule=1f1b, or vpp2 or more",
        )


@declared("batch")
def batch(config: Config) -> Iterator[Check]:
    """Sequences divide over attention DP and micro-batches in training; a server's busiest rank has a few more than others."""
    workload, adp = config.workload, config.degrees.adp
    total, micro = workload.global_batch_size, workload.micro_batch_size
    step = adp * micro
    if not workload.train and total % step:
        most = -(-total // adp)
        yield warned(
            observed=f"{total} % {step} = {total % step}",
            limit="0",
            message=f"global_batch_size {total} over adp={adp} ranks is {total / adp:g} each: costed with the {most} of the busiest",
            fix=f"write workload.global_batch_size={most * adp} to fill all ranks alike",
        )
        return
    yield check(
        holds=total % step == 0,
        observed=f"{total} % {step} = {total % step}",
        limit="0",
        message=f"global_batch_size {total} over adp={adp} ranks in micro-batches of {micro} is {total / step:g} micro-batches each",
        fix=f"write workload.global_batch_size={max(-(-total // step), 1) * step}",
    )


@declared()
def busy(config: Config) -> Iterator[Check]:
    """A pipeline is full only with as many micro-batches as stages."""
    workload, degrees = config.workload, config.degrees
    if degrees.pp == 1:
        return
    each = degrees.adp * workload.micro_batch_size
    micro_batches, interleaved = workload.global_batch_size // each, workload.train and degrees.vpp > 1
    if not workload.train:
        micro_batches = -(-workload.global_batch_size // each)
    yield check(
        "micro-batches",
        holds=micro_batches >= degrees.pp,
        observed=micro_batches,
        limit=degrees.pp,
        message=f"{micro_batches} micro-batches fill at most {micro_batches} of {degrees.pp} stages: {min(1.0, micro_batches / degrees.pp):.0%} busy",
        fix=f"write workload.global_batch_size={degrees.pp * each} or a smaller pp",
        otherwise=Status.FAIL if interleaved else Status.WARN,
    )
    if interleaved:
        size = adapter(config.framework.name).interleaved_group(config)
        rest, name = micro_batches % size, f"pp={degrees.pp}" if size == degrees.pp else f"{size}"
        yield check(
            "interleaving",
            holds=rest == 0 or rest >= degrees.pp,
            observed=f"{micro_batches} % {size} = {rest}",
            limit="0" if size == degrees.pp else f"0, or {degrees.pp} and more",
            message=f"interleaving runs micro-batches in rounds of {name}, and there are {micro_batches}",
            fix=f"write workload.global_batch_size={-(-max(micro_batches, 1) // size) * size * each}",
        )
