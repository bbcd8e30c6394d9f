"""Megatron's groups beside the plan's own, in closed form and in the order of its loops (core/parallel_state.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

from compiler.frameworks.adapter import Adapter
from compiler.frameworks.megatron import stage_args
from compiler.frameworks.megatron.options import context_levels, optimizer_instances
from compiler.frameworks.versions import version
from compiler.layout.grid import Axis, Grid, GroupKind, Run, row_major
from compiler.layout.groups import standard
from compiler.specs.config import Config

DEFAULT, MAPPED = "tp-cp-ep-dp-pp", "tp-cp-ep-pp-dp"
"""The two orders of its command line; the second is `--use-tp-pp-dp-mapping`."""


def order(config: Config) -> str | None:
    """The first of the two that puts every rank where `parallel.order` puts it; None where neither does."""
    if config.parallel.order == DEFAULT:
        return DEFAULT
    wanted = _axes(config)
    return next((name for name in (DEFAULT, MAPPED) if _axes(_ordered(config, name)) == wanted), None)


def _ordered(config: Config, name: str) -> Config:
    return replace(config, parallel=replace(config.parallel, order=name))


def _axes(config: Config) -> list[list[Axis]]:
    return [[axis for axis in grid.axes if axis.size > 1] for grid in Adapter().grids(config)]


def expert_tensor_parallel(config: Config) -> int:
    """`--expert-tensor-parallel-size`. Megatron lays out an expert grid without experts too, by default with etp = tp.

    With pp before dp its stages only agree with the others where etp*ep = tp*cp.
    """
    degrees = config.degrees
    if degrees.moe:
        return degrees.etp
    return degrees.tp * degrees.cp if order(config) == MAPPED else degrees.tp


def expert_grid(config: Config, planned: Grid) -> Grid:
    """The grid of Megatron's expert groups: the plan's, or its own where the model has no experts."""
    degrees = config.degrees
    if degrees.moe:
        return planned
    etp = expert_tensor_parallel(config)
    sizes = {"tp": ("etp", etp), "ep": ("ep", 1), "dp": ("edp", degrees.tp * degrees.cp * degrees.adp // etp)}
    axes = [axis for axis in (order(config) or DEFAULT).split("-") if axis != "cp"]
    return row_major(sizes.get(axis, ("pp", degrees.pp)) for axis in axes)


def kinds(config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
    """The plan's own kinds, then Megatron's others under the names of its communicator file, in order of creation."""
    own = standard(attention, expert if config.model.moe else None)
    extra = dict(_extra(config, attention, expert_grid(config, expert)))
    return {**own, **{f"megatron.{name}": kind for name, kind in extra.items()}}


def _extra(config: Config, attention: Grid, expert: Grid) -> Iterator[tuple[str, GroupKind]]:
    instances, remat = optimizer_instances(config), version(config).facts.get("weight_remat", False)
    data = attention.kind(("dp", "cp"))
    if remat:
        yield "gtp_remat", attention.kind(())
    if instances > 1 and (slices := sliced(data, instances)):
        yield "intra_dp_cp", slices
    levels = context_levels(config)
    for level in range(len(levels)):
        yield f"hcp.{level}", nested(attention.kind(("cp",)), levels, level)
    yield "embd", embeddings(attention, _second_embedding(config))
    yield "pos_embd", embeddings(attention, 0)
    yield "tp_dp_cp", attention.kind(("tp", "dp", "cp"))
    yield "tp_dp", attention.kind(("tp", "dp"))
    if remat:
        yield "expt_gtp_remat", expert.kind(())
    if not config.model.moe:
        yield from _idle(expert)
    if remat:
        yield "tp_ep_gtp_remat_pp", expert.kind(("etp", "ep", "pp"))
    yield from _instances(expert, instances)


def _idle(expert: Grid) -> Iterator[tuple[str, GroupKind]]:
    """Expert groups that exist, unused, for a model without experts; with experts they are the plan's own kinds."""
    yield "ep", expert.kind(("ep",))
    yield "ep_tp", expert.kind(("etp",))
    yield "tp_ep_mp", expert.kind(("etp", "ep"))
    yield "tp_ep_pp", expert.kind(("etp", "ep", "pp"))
    yield "ep_dp", expert.kind(("edp",))


def _instances(expert: Grid, instances: int) -> Iterator[tuple[str, GroupKind]]:
    """Groups inside and across optimizer instances, each of which holds consecutive ranks of the axis edp."""
    replicas = expert.kind(("edp",))
    if replicas.size % instances:
        return
    levels = (replicas.size // instances, instances)
    if instances > 1:
        yield "intra_ep_dp", nested(replicas, levels, 0)
        yield "inter_ep_dp", nested(replicas, levels, 1)
    block, ((_, stride),) = expert.kind(("etp", "ep", "pp")), replicas.members
    members = (*block.members, (levels[0], stride))
    yield "intra_dist_opt_instance", GroupKind(members, ((instances, stride * levels[0]),))


def _second_embedding(config: Config) -> int:
    """The stage that holds the embedding beside the first, 0 where none does: the last of tied weights, or that of the MTP layers
    (pretrain_gpt.py); the server always says so.
    """
    model, pp = config.model, config.degrees.pp
    if model.tie_word_embeddings or not config.workload.train:
        return pp - 1
    return stage_args.mtp_stage(config) % pp if model.num_nextn_predict_layers else 0


def embeddings(attention: Grid, second: int) -> GroupKind:
    """The first rank of each pipeline, with that of a `second` stage unless it is the same; ranks of other stages are in no group."""
    pipeline = attention.kind(("pp",))
    ((_, stride),) = pipeline.members
    return GroupKind(((2, stride * second) if second else (1, stride),), pipeline.bases)


def nested(kind: GroupKind, sizes: Sequence[int], level: int) -> GroupKind:
    """Groups along one level of a kind whose members, a single run, are split in `sizes`, innermost first."""
    ((_, stride),) = kind.members
    inside = prod(sizes[:level])
    outside = prod(sizes[level + 1 :])
    outer = ((inside, stride), (outside, stride * inside * sizes[level]))
    return GroupKind(((sizes[level], stride * inside),), (*outer, *kind.bases))


def sliced(kind: GroupKind, count: int) -> GroupKind | None:
    """Each group cut in `count` slices of consecutive members; None where a slice is not made of whole runs."""
    if kind.size % count:
        return None
    left, inner, outer = kind.size // count, [], []
    for size, stride in _joined(kind.members):
        if max(size, left) % min(size, left):
            return None
        taken = min(size, left)
        inner.append((taken, stride))
        outer.append((size // taken, stride * taken))
        left //= taken
    return GroupKind(tuple(inner), (*outer, *kind.bases))


def _joined(runs: Sequence[Run]) -> Iterator[Run]:
    """Runs of more than one rank, those that follow each other without a gap as one."""
    held: Run | None = None
    for size, stride in runs:
        if size == 1:
            continue
        if held and held[0] * held[1] == stride:
            held = (held[0] * size, held[1])
            continue
        if held:
            yield held
        held = (size, stride)
    if held:
        yield held
