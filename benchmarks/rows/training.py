"""Training and memory rows: the architecture from the row's own columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.rows import software, specified
from benchmarks.rows.hardware import cluster, gpu_file, segmented
from benchmarks.rows.record import UNFIT, Record, Row, Skip, number, planned, read, reason, whole
from benchmarks.rows.training_models import model
from compiler.gpus import generation
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel
from compiler.specs.workload import Workload
from compiler.world import World

FILES = {
    "dense_training.csv": "dense_training",
    "dense_training_vtrain_single_node.csv": "dense_single_node",
    "moe_training.csv": "moe_training",
}

GIB = 2.0**30
SMALL = 10 * GIB


def precision(row: Row) -> str:
    """As a workload writes it. Raises Skip where it is blank."""
    text = row["precision"].lower()
    for pattern, name in (
        ("nvfp4|fp4", "nvfp4"),
        ("mxfp8|fp8-mx|fine", "mxfp8"),
        ("fp8|float8", "fp8"),
        ("fp16", "fp16"),
        ("bf16", "bf16"),
    ):
        if re.search(pattern, text):
            return name
    raise Skip("no precision")


def split(layers: int, parts: int, head: int = 1) -> list[int]:
    """Layers of each virtual stage: even where they divide, else with the embedding as one and the head as `head` layers; where
    that does not divide either, the last one, which has the head, gets what the others leave (DeepSeek-V3's 61 layers in 16
    are 15 times 4 and 1 in Megatron-Bridge's recipes, in 4 they are 15, 16, 16 and 14 in NeMo's own, whose head counts for 2).
    """
    each = -(-layers // parts)
    if (layers + 1 + head) % parts == 0 and layers % parts:
        found = [(layers + 1 + head) // parts] * parts
        found[0] -= 1
        found[-1] -= head
        return found
    if layers % parts and layers > each * (parts - 1):
        return [each] * (parts - 1) + [layers - each * (parts - 1)]
    base, extra = divmod(layers, parts)
    return [base + (part < extra) for part in range(parts)]


def layout(row: Row) -> list[int]:
    """Layers of each virtual stage where the row draws them (Megatron's E t m L and |); empty where it does not."""
    text = row.get("extra_args", "") + ";" + row["notes"]
    found = re.search(r"(?:pipeline-model-parallel-layout=|pp_layout )([^;]+)", text)
    if not found:
        return []
    text = re.sub(r"\(([^)]*)\)\*(\d+)", lambda part: part[1] * int(part[2]), found[1].strip())
    text = re.sub(r"(\w)\*(\d+)", lambda part: part[1] * int(part[2]), text)
    return [stage.count("t") for stage in text.split("|")]


def parallel(row: Row, layers: int) -> tuple[Parallel, int]:
    """Degrees and the number of GPUs. Raises Skip where the world cannot be known, or does not fit."""
    tp, pp, cp = whole(row, "tp"), whole(row, "pp"), whole(row, "cp", 1)
    gpus = whole(row, "gpus", 0) or tp * pp * cp * whole(row, "dp", 0)
    if not gpus:
        raise Skip("data parallelism unknown")
    adp = whole(row, "dp", 0) or gpus // (tp * pp * cp)
    if adp * tp * pp * cp != gpus:
        raise Skip("degrees do not make the number of GPUs")
    drawn = layout(row)
    found = re.match(r"(\d+) layers/vstage", row["vpp"])
    vpp = max(1, layers // (pp * int(found[1]))) if found else max(1, whole(row, "vpp", len(drawn) // pp or 1))
    vpp = vpp if pp > 1 and layers + 2 >= pp * vpp else 1
    ep, etp = whole(row, "ep", 1), whole(row, "etp", 1)
    if pp * vpp > layers:
        raise Skip("more stages than layers")
    stages = drawn if len(drawn) == pp * vpp and sum(drawn) == layers else split(layers, pp * vpp, software.head(row))
    return Parallel(tp=tp, pp=pp, cp=cp, vpp=vpp, ep=ep, etp=etp, adp=adp, stages=stages), gpus


def world(row: Row) -> World:
    """The row's plan. Raises Skip."""
    if row.get("task") == "lora":
        raise Skip("LoRA adapters")
    architecture = model(row)
    degrees, gpus = parallel(row, architecture.num_hidden_layers)
    hardware = segmented(cluster(row, gpus), gpus)
    fused = software.fused(row, architecture, generation(hardware.name))
    workload = Workload(
        kind="train",
        global_batch_size=whole(row, "gbs"),
        micro_batch_size=software.micro_batch(row, degrees),
        sequence_length=whole(row, "seq"),
        precision=precision(row),
        recompute=software.recompute(row, fused=fused),
        recompute_modules=software.modules(row, fused=fused),
        sequence_parallel=software.sequence_parallel(row),
        distributed_optimizer=row["dist_optimizer"] != "0",
        zero_stage=software.zero_stage(row),
        fused_attention=fused,
        imbalance=software.imbalance(row),
        dispatch=software.dispatch(row),
        overlapped_dispatch=software.overlapped(row),
        states=software.states(row, architecture),
        activation_offload=software.offloaded(row, architecture.num_hidden_layers),
        cuda_graphs=software.graphs(row, hardware.name),
    )
    config = Config(
        hardware=hardware,
        model=architecture,
        parallel=degrees,
        workload=workload,
        framework=software.framework(row),
    )
    return planned(config)


def steps(folder: Path) -> Iterator[Record]:
    """Every training row: its step time, or tokens/s of a GPU where none is given."""
    for file, family in FILES.items():
        if not (folder / file).exists():
            continue
        for row in read(folder / file):
            base = Record(
                family, row["id"], row["source_id"], row["model"], "step_time_s", 0.0, date=row["source_date"]
            )
            yield _filled(replace(base, specified=specified.step(row), unsaid=specified.unsaid(row)), row)


def _filled(base: Record, row: Row) -> Record:
    ran = (row["framework"], row["release"])
    try:
        step, rate, total = (number(row, key) for key in ("step_time_s", "tokens_s_gpu", "tokens_s_total"))
        if step is None and rate is None and total is not None:
            rate = total / whole(row, "gpus")
        if step is None and rate is None:
            raise Skip("no step time and no tokens/s")
        metric, measured = ("step_time_s", step) if step is not None else ("tokens_s_gpu", rate)
        base = replace(base, metric=metric, measured=measured or 0.0, software=ran)
        return replace(base, world=world(row), gpu=gpu_file(row))
    except (Skip, *UNFIT) as why:
        return replace(base, skipped=reason(why))


def memories(folder: Path) -> Iterator[Record]:
    """Every memory row: peak allocated bytes, or reserved ones where the row says nothing else."""
    if not (folder / "memory.csv").exists():
        return
    for row in read(folder / "memory.csv"):
        base = Record("memory", row["id"], row["source_id"], row["model"], "allocated_bytes", 0.0, specified=False)
        yield _memory(base, row)


def _memory(base: Record, row: Row) -> Record:
    try:
        allocated, reserved = number(row, "peak_alloc_gib"), number(row, "peak_reserved_gib")
        if "single MoE layer" in row["measure"]:
            raise Skip("a single layer, no model")
        if allocated is None and reserved is None:
            raise Skip("no peak")
        metric, peak = ("allocated_bytes", allocated) if allocated is not None else ("reserved_bytes", reserved)
        measured = (peak or 0.0) * GIB
        base = replace(base, metric=metric, measured=measured, software=(row["framework"], row["release"]))
        base = replace(base, specified=specified.memory(row, measured, SMALL))
        if measured < SMALL:
            raise Skip("below 10 GiB")
        if not row["dp"] and not row["gpus"]:
            raise Skip("data parallelism unknown")
        found = world(row)
        return replace(base, world=found, gpu=gpu_file(row), ask={"stage": _stage(row["stage_or_rank"], found)})
    except (Skip, *UNFIT) as why:
        return replace(base, skipped=reason(why))


def _stage(text: str, found: World) -> int | None:
    """The pipeline stage that was measured; None for the fullest."""
    if named := re.match(r"pp stage (\d+)", text):
        return int(named[1])
    return found.degrees.pp - 1 if text.startswith("last rank") else None
