"""What software does with a row's plan: as the row says, else as is usual for the framework, its release and the GPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchmarks.rows.record import Row, whole
from compiler.gpus import generation
from compiler.specs.config import Framework
from compiler.specs.degrees import Parallel
from compiler.specs.model import Model
from compiler.specs.states import States

FLASH_SINCE = 2023
"""Year in which Megatron-LM got FlashAttention (its releases that name a year)."""

UNEQUAL_SINCE = "nemo-25.07"
"""First container whose Transformer Engine (2.5) fuses attention on Blackwell where keys are wider than values."""

GRAPHED_SINCE = "nemo-26.06"
"""First release whose recipes capture whole steps of models with experts."""

BRIDGE = "nemo-25.09"
"""First container whose figures are Megatron-Bridge's."""

DEDUPLICATED = {True: "nemo-25.11", False: "nemo-26.04"}
OVERLAPPED = {True: "nemo-26.06"}
"""First release whose recipes for NVL72 racks, and for other servers, mostly say so."""


NATURAL = 1.3
"""Imbalance of natural routing: real training is 1.1 to 1.3 times as slow as forced balance says, and only a part of a step
follows the busiest expert (1.09 to 1.24, Megatron-MoE-ModelZoo's Qwen3-235B)."""


def recompute(row: Row, *, fused: bool) -> str:
    """full, selective where a module of a layer is (torchtitan's: by operations), or none."""
    if row["recompute"].lower().startswith("full"):
        return "full"
    return "selective" if _of_operations(row) or modules(row, fused=fused) else "none"


def modules(row: Row, *, fused: bool) -> list[str]:
    """Modules that selective recomputation runs again.

    Scores that no kernel fuses are rebuilt where a row does not say (Megatron's default selection, made for them).
    """
    text = row["recompute"].lower()
    unsaid = not text and not fused and row["framework"] == "megatron"
    core = ["core_attn"] if "attention core" in text or unsaid else []
    return [] if _of_operations(row) else core + sorted(set(re.findall(r"layernorm|mla_up_proj|mlp|moe_act", text)))


FRAMEWORKS = ("megatron", "torchtitan", "deepspeed")

FORK = "megatron-deepspeed"
"""Megatron's fork of the same name, which fuses no loss."""


def framework(row: Row) -> Framework:
    """What a row ran, with the arguments that its costs depend on; the plan's own rules stand in for what is no framework of ours."""
    name = "megatron" if row["framework"] == FORK else row["framework"]
    if name not in FRAMEWORKS:
        return Framework(name="none")
    args = ["--cross-entropy-loss-fusion"] * (name == "megatron" and fused_loss(row))
    args += ["--compile.enable_async_tensor_parallel"] * (name == "torchtitan" and "asynctp" in row["notes"].lower())
    return Framework(name=name, version=row["release"], args=args)


def _of_operations(row: Row) -> bool:
    return row["framework"] == "torchtitan" and row["recompute"].lower().startswith("selective")


def imbalance(row: Row) -> float:
    """Busiest over mean expert load: 1 where routing is forced or nothing is said of it."""
    return NATURAL if re.search("natural|unforced|not? forced", row.get("moe_balance", "").lower()) else 1.0


def fused_loss(row: Row) -> bool:
    """Megatron fuses the cross entropy where it is asked to; a row that gives no arguments is taken as fused. Its DeepSpeed fork and
    its releases before 2023 do not.
    """
    given = row.get("extra_args", "")
    if row["framework"] == FORK or _before_flash(row):
        return False
    return not given or "cross-entropy-loss-fusion=True" in given


def states(row: Row, model: Model) -> States:
    """NeMo's performance scripts, and Megatron-Bridge's after them, add up and reduce gradients in BF16 (grad_reduce_in_fp32=False), and
    Bridge's recipes of DeepSeek's kind keep BF16 moments (recipes/deepseek/deepseek_v3.py).
    """
    if not row["release"].startswith("nemo-"):
        return States()
    moments = "bf16" if model.mla and not _by_nemo(row) else "fp32"
    return States(gradients="bf16", exp_avg=moments, exp_avg_sq=moments)


def micro_batch(row: Row, parallel: Parallel) -> int:
    """torchtitan's rows state a rank's whole batch, which its pipelines cut into a micro-batch for each virtual stage
    (pipeline_parallel_microbatches, as releases that are named by their year have it).
    """
    stated, stages = whole(row, "mbs"), parallel.pp * parallel.vpp
    alone = stated * (parallel.adp or 1) == whole(row, "gbs")
    return max(1, stated // stages) if row["framework"] == "torchtitan" and parallel.pp > 1 and alone else stated


def offloaded(row: Row, layers: int) -> float:
    """Part of the layers whose activations go to the host (Megatron-Bridge's cpu_offloading_num_layers)."""
    found = re.search(r"offload (\d+) layers", row["recompute"].lower())
    return min(1.0, int(found[1]) / layers) if found else 0.0


def graphs(row: Row, hardware: str) -> str:
    """What Megatron-Bridge's recipes capture in CUDA graphs on Blackwell: the step of a dense model that needs no pipeline, of one with
    experts the layers where its dispatcher leaves nothing to the host (of single servers not in pipelines without virtual stages),
    and since 26.06 the step in MXFP8 outside of B200.
    """
    if not row["release"].startswith("nemo-") or _by_nemo(row) or generation(hardware) != "blackwell":
        return "none"
    if not row["experts"]:
        return "step" if row["pp"] == "1" and not whole(row, "fsdp_shard", 0) else "none"
    if dispatch(row) != "deduplicated" or "layernorm" in row["recompute"].lower():
        return "none"
    if row["release"] >= GRAPHED_SINCE and "MX" in row["precision"] and hardware != "b200":
        return "step"
    staged = row["pp"] != "1" and row["vpp"] in ("", "1")
    return "none" if staged and not racks(row) else "layer"


def zero_stage(row: Row) -> int:
    """FSDP shards parameters too, unless the row says otherwise."""
    if not whole(row, "fsdp_shard", 0):
        return 0
    return 2 if "SHARD_GRAD_OP" in row["notes"] else 3


def sequence_parallel(row: Row) -> bool | None:
    """As the row says, else where tp is above 1; Megatron-DeepSpeed reduces whole activations unless it is asked not to."""
    if row["seq_parallel"]:
        return row["seq_parallel"] == "1"
    return False if row["framework"] == FORK else None


def fused(row: Row, model: Model, architecture: str) -> bool:
    """Megatron had no FlashAttention before 2023, and its DeepSpeed fork takes it only where it is asked to.

    Windows with sinks are fused too (Transformer Engine pull request 2148, its version 2.8): scores would not fit in memory.
    Keys wider than values (MLA) had no fused backward pass on Blackwell before cuDNN 9.11 (Transformer Engine pull request
    1797, its version 2.5), and FlashAttention 2 takes none of them.
    """
    if "attention-backend=unfused" in row.get("extra_args", "") or row["framework"] == FORK:
        return False
    if row["framework"] != "megatron":
        return True
    if architecture == "blackwell" and model.mla and "nemo-" <= row["release"] < UNEQUAL_SINCE:
        return False
    return not _before_flash(row)


def _before_flash(row: Row) -> bool:
    year = re.search(r"20\d\d", row["release"])
    return row["framework"] == "megatron" and year is not None and int(year[0]) < FLASH_SINCE


def dispatch(row: Row) -> str:
    """As the row says; where its recipe is unknown, Megatron's usual one for the GPU and the release, and between servers.

    NeMo's own recipes drop tokens (its MegatronTokenDropCallback), those of Megatron-Bridge after it mostly do not.
    """
    said = row.get("moe_dispatcher", "").lower()
    if "token-drop" in row.get("moe_balance", ""):
        return "capacity"
    if said:
        return "deduplicated" if re.search("deepep|hybridep|flex", said) else "alltoall"
    if _by_nemo(row):
        return "capacity"
    unsaid = "recipe" not in row["notes"] and (spread(row) or usual(row, DEDUPLICATED))
    return "deduplicated" if unsaid else "alltoall"


def head(row: Row) -> int:
    """Layers that the head counts for where stages are uneven: two in NeMo's own recipe of a model that predicts several tokens."""
    return 2 if _by_nemo(row) and whole(row, "mtp_layers", 0) else 1


def _by_nemo(row: Row) -> bool:
    return "nemo-" <= row["release"] < BRIDGE


def overlapped(row: Row) -> bool:
    """Whether dispatch runs beside computation, as the row says or as usual: in racks of late, and between servers where
    virtual stages allow it (Megatron-Bridge's H100 recipes).
    """
    said = re.search(r"moe_a2a_overlap=(\w+)", row["notes"])
    if said:
        return said[1] == "True"
    staged = whole(row, "pp", 1) == 1 or row["vpp"] not in ("", "1")
    return usual(row, OVERLAPPED) or (spread(row) and staged and dispatch(row) == "deduplicated")


def spread(row: Row) -> bool:
    """Whether an EP group spans several servers' networks."""
    return not racks(row) and whole(row, "ep", 1) > whole(row, "gpus_per_node", 8)


def racks(row: Row) -> bool:
    return "NVL72" in row.get("intra_node", "")


def usual(row: Row, since: Mapping[bool, str]) -> bool:
    """Whether a container's release is late enough, with GPUs in racks and in single servers."""
    first = since.get(racks(row))
    return first is not None and row["release"].startswith("nemo-") and row["release"] >= first
