"""Many plans at once cost what each of them costs."""

from __future__ import annotations

import itertools
import resource
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.rows.hardware import nominal
from compiler.costs.comm.far import reaches
from compiler.costs.comm.links import reach
from compiler.costs.many import Many
from compiler.costs.project import project, shapes
from compiler.costs.shape import shape
from compiler.costs.step import step, work
from compiler.costs.total import cost
from compiler.frameworks.adapter import adapter, names
from compiler.frameworks.lay_out import lay_out
from compiler.specs.config import Config, Framework
from compiler.specs.degrees import Parallel
from compiler.specs.hardware import Fabric, Nvlink
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from compiler.speed import calibrated
from tests.worlds import DEEPSEEK_V3, LLAMA_8B, MIXTRAL, QWEN_30B, SERVE, TRAIN

H100 = nominal("h100_80gb")
KEYS = ("tp", "cp", "pp", "vpp", "ep", "etp", "adp")


def config(model: Model, workload: Workload, **changes: Any) -> Config:
    found = Config(hardware=H100, model=model, workload=workload, framework=Framework(name="none"))
    return replace(found, **changes)


def many(degrees: list[tuple[int, ...]]) -> Many:
    columns = zip(*degrees, strict=True)
    found: dict[str, Any] = {name: np.array(column, dtype=float) for name, column in zip(KEYS, columns, strict=True)}
    return Many(**found)


def degrees(model: Model) -> st.SearchStrategy[tuple[int, ...]]:
    """Any that the two grids can hold and every framework deals layers out for."""
    layers = model.num_hidden_layers
    stages = [
        (pp, vpp) for pp in (1, 2, 3, 4, 8) for vpp in (1, 2) if layers % (pp * vpp) == 0 and (pp > 1 or vpp == 1)
    ]
    sizes = st.tuples(
        st.sampled_from([1, 2, 3, 4, 8]),
        st.sampled_from([1, 2, 3]),
        st.sampled_from(stages),
        st.sampled_from([1, 2, 4, 8]),
    )
    experts = st.tuples(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2]))

    def joined(found: Any) -> tuple[int, ...]:
        (tp, cp, (pp, vpp), adp), (ep, etp) = found
        width = tp * cp * adp
        fits = model.moe and width % (ep * etp) == 0
        return (tp, cp, pp, vpp, ep if fits else 1, etp if fits else 1, adp)

    return st.tuples(sizes, experts).map(joined)


@st.composite
def searches(draw: st.DrawFn) -> tuple[Config, list[tuple[int, ...]]]:
    """Plans of one configuration, of every framework, kind of workload and recomputation."""
    model = draw(st.sampled_from([LLAMA_8B, MIXTRAL, QWEN_30B, replace(DEEPSEEK_V3, num_hidden_layers=16)]))
    common = {
        "global_batch_size": draw(st.sampled_from([64, 192, 768])),
        "precision": draw(st.sampled_from(["bf16", "fp8"])),
        "imbalance_exponent": draw(st.sampled_from([None, 1.2])),
    }
    train = draw(st.booleans())
    of_training = {
        "micro_batch_size": draw(st.sampled_from([1, 2])),
        "recompute": draw(st.sampled_from(["none", "selective", "full"])),
        "schedule": draw(st.sampled_from(["1f1b", "interleaved", "zero_bubble", "dualpipe"])),
        "sequence_parallel": draw(st.sampled_from([None, False])),
        "zero_stage": draw(st.integers(0, 3)),
        "dispatch": draw(st.sampled_from(["alltoall", "deduplicated"])),
        "activation_offload": draw(st.sampled_from([0.0, 0.5])),
        "wide_layers": draw(st.sampled_from([[], [1]])),
    }
    of_serving = {
        "sequence_lengths": [draw(st.sampled_from([128, 4096]))],
        "prefill_chunk": draw(st.sampled_from([None, 1024])),
        "draft_tokens": draw(st.sampled_from([0, 2])),
        "two_batch_overlap": draw(st.booleans()),
        "low_latency_dispatch": draw(st.booleans()),
    }
    workload = replace(TRAIN, **common, **of_training) if train else replace(SERVE, **common, **of_serving)  # type: ignore[arg-type]
    framework = draw(st.sampled_from(names()))
    version = draw(st.sampled_from([None, "2024-12"])) if framework == "torchtitan" else None
    found = replace(config(model, workload), framework=Framework(name=framework, version=version))
    return found, draw(st.lists(degrees(model), min_size=2, max_size=5, unique=True))


@settings(max_examples=25, deadline=None)
@given(searches())
def test_each_is_what_it_is_alone(asked: tuple[Config, list[tuple[int, ...]]]) -> None:
    """To 1e-9, its memory and every part of its time. What one plan's ranks wait for each other is replayed, and held against the
    closed form in test_costs_replay.
    """
    same(*asked)


def test_graphs_of_each_are_its_own() -> None:
    """vLLM captures fewer where its low-latency kernels run, which takes experts that are spread out: of 256 sequences, not of 512."""
    of_serving = {"global_batch_size": 2400, "sequence_lengths": [128], "output_length": 128, "precision": "fp8"}
    workload = replace(SERVE, **of_serving, low_latency_dispatch=True)  # type: ignore[arg-type]
    base = replace(config(QWEN_30B, workload), framework=Framework(name="vllm"))
    chosen: list[tuple[int, ...]] = [(1, 1, 1, 1, 1, 8, 8), (1, 1, 1, 1, 8, 1, 8), (8, 1, 1, 1, 8, 1, 1)]
    graphs = [adapter("vllm").traits(many(chosen).config(base, at)).graph_batch for at in range(3)]
    assert graphs[0] > 2400 / 8 > graphs[1]
    same(base, chosen)
    same(base, chosen[::-1])


@pytest.mark.parametrize("offload", ["activation_offload", "optimizer_offload"])
def test_what_moves_to_the_host_is_each_plans_own_in_any_order(offload: str) -> None:
    base = config(LLAMA_8B, replace(TRAIN, **{offload: 0.5}))  # type: ignore[arg-type]
    chosen: list[tuple[int, ...]] = [(1, 1, 1, 1, 1, 1, 2), (2, 1, 1, 1, 1, 1, 4), (1, 1, 1, 1, 1, 1, 1)]
    same(base, chosen)
    same(base, chosen[::-1])


def same(base: Config, chosen: list[tuple[int, ...]]) -> None:
    """Costs of many plans at once are those of each."""
    plans, by = many(chosen), calibrated.of(base)
    together = project(base, plans, by)
    with np.errstate(all="ignore"):
        parts = {
            int(at): {name: values[row] for name, values in vars(step(work(plan, by.gpu)[0], by.software)).items()}
            for index, plan in (shapes(base, plans) if base.workload.train else ())
            for row, at in enumerate(index)
        }
    for at in range(len(chosen)):
        own = plans.config(base, at)
        with np.errstate(all="ignore"):
            alone, plan = cost(lay_out(own), by), shape(lay_out(own))
            assert together["memory_bytes"][at] == pytest.approx(alone.memory.total_bytes.max(), rel=1e-9)
            if alone.projection is not None:
                found = vars(step(work(plan, by.gpu)[0], by.software))
                assert parts[at] == pytest.approx({name: float(value) for name, value in found.items()}, rel=1e-9)
                apart = together["step_time_s"][at] - parts[at]["bubble_s"]
                assert apart == pytest.approx(
                    alone.projection.step_time_s - alone.projection.bubble_s, rel=1e-7
                )  # told to nine digits
            else:
                assert together["ttft_s"][at] == pytest.approx(alone.prefill[0].ttft_s, rel=1e-9)
                assert together["tpot_s"][at] == pytest.approx(alone.decode[0].tpot_s, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(degrees(QWEN_30B), min_size=3, max_size=8, unique=True),
    st.sampled_from([1, 2, 4, 8, 16, 24]),
    st.sampled_from([4, 6, 8]),
    st.sampled_from([(None, None), (2, None), (3, 2), (4, 8)]),
    st.sampled_from(["tp-cp-ep-dp-pp", "tp-cp-pp-ep-dp", "pp-tp-cp-ep-dp"]),
)
def test_groups_reach_as_far_as_when_they_are_laid_out(
    chosen: list[tuple[int, ...]], domain: int, gpus: int, fabric: tuple[int | None, int | None], order: str
) -> None:
    hardware = replace(H100, nvlink=Nvlink(domain, 450e9, 1e-6), fabric=Fabric("fat_tree", *fabric))
    hardware = replace(hardware, node=replace(hardware.node, gpus=gpus))
    base = config(QWEN_30B, TRAIN, hardware=hardware, parallel=Parallel(order=order))
    plans, kinds = many(chosen), ["tp", "cp", "pp", "ep", "etp", "edp", "dp", "dp_cp"]
    found = reaches(base, plans, kinds)
    for at in range(len(chosen)):
        world = lay_out(plans.config(base, at))
        for kind in kinds:
            own = reach(world, kind)
            mine = found[kind]
            assert (np.ravel(mine.size)[at], np.ravel(mine.domains)[at]) == (own.size, own.domains), kind
            assert world.slots is not None
            assert np.ravel(mine.span)[at] == ("gpu", "nvlink", "node", "leaf", "pod", "fabric").index(str(own.span))


def test_a_hundred_thousand_plans_in_seconds() -> None:
    powers = [
        (tp, cp, pp, 1, 1, 1, 1024 // (tp * cp * pp)) for tp in (1, 2, 4, 8) for cp in (1, 2, 4) for pp in (1, 2, 4, 8)
    ]
    plans, base = many(list(itertools.islice(itertools.cycle(powers), 100_000))), config(LLAMA_8B, TRAIN)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = project(base, plans, calibrated.of(base))
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2e6  # kB
    assert all(np.isfinite(values).all() for values in found.values())
