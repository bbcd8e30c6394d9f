"""Serving rows: a record for each measured column; the architecture from the model's own config.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.rows import launched
from benchmarks.rows.hardware import cluster, gpu_file, nominal
from benchmarks.rows.models import model
from benchmarks.rows.record import UNFIT, Record, Row, Skip, number, planned, read, reason, whole
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel
from compiler.specs.model import Model
from compiler.specs.weights import Quantization
from compiler.specs.workload import Workload
from compiler.world import World

METRICS = {
    "tpot_ms": ("tpot", 1e-3),
    "ttft_ms": ("ttft", 1e-3),
    "output_tokens_s_gpu": ("serving_throughput", 1.0),
    "input_tokens_s_gpu": ("serving_throughput", 1.0),
    "tokens_s_node": ("serving_throughput", 1.0),
}
"""Measured column -> family, and the factor to SI units."""


def precision(row: Row, architecture: Model) -> str:
    """Of all weights, as rows have one word for them; that of the model's own file where the row leaves it out, or where that has
    narrower ones already.
    """
    text = row["precision"].lower()
    if "fp4" in text or "int4" in text or _of_four_bits(architecture):
        return "fp4" if _own(row, architecture) and _of_four_bits(architecture) == "fp4" else "nvfp4"
    return "fp8" if "fp8" in text else architecture.precision


def _of_four_bits(architecture: Model) -> str:
    """The format of a checkpoint that has weights of four bits; empty where it has none."""
    schemes = {form.scheme for form in architecture.stored.values() if "4" in form.scheme}
    return "fp4" if any("fp4" in scheme for scheme in schemes) else "int4" * bool(schemes)


def _own(row: Row, architecture: Model) -> bool:
    """Whether a row ran the checkpoint that its model's file describes, and not one that somebody else has quantised."""
    text, four = row["precision"].lower(), _of_four_bits(architecture)
    if four:
        return four in text or four == "fp4" or not text.strip("() ,")
    return bool(architecture.stored) and ("fp8" in text) == (architecture.precision == "fp8") and "4" not in text


def degrees(row: Row, prefix: str = "", per_node: int = 8) -> Parallel:
    """Degrees of a worker: tensor times data parallelism of attention are the ranks that experts are spread over.

    A rank that is of several kinds may be counted once for each: n*n of tp or attn_dp with n of ep and n of moe_tp, or n of
    tp and n of attn_dp with n*n of ep, are n ranks: n*n would be more than a node.
    """
    key = {name: prefix + name for name in ("tp", "pp", "ep", "attn_dp", "moe_tp")}
    ep, wide = max(1, whole(row, key["ep"], 1)), whole(row, key["moe_tp"], 0)
    adp = max(1, whole(row, key["attn_dp"], 1))
    tp, pp = max(1, whole(row, key["tp"], 1)), max(1, whole(row, key["pp"], 1))
    if adp == tp > 1 and ep == tp * adp:
        tp, ep = 1, adp
    elif ep == wide and tp * adp == ep * wide > per_node:
        tp, adp = (ep, 1) if adp == 1 else (1, ep)
    ranks = tp * adp
    ep = min(ep, ranks)
    etp = ranks // ep if ranks % ep == 0 else 1
    return Parallel(tp=tp, pp=pp, ep=ep, etp=etp, adp=adp)


def labelled(row: Row, architecture: Model, prefix: str = "") -> None:
    """Raises Skip for degrees that no server could have: of heads, and (where rows are servers) of ranks that experts are on."""
    tp, adp, ep, wide = (max(1, whole(row, prefix + key, 1)) for key in ("tp", "attn_dp", "ep", "moe_tp"))
    if architecture.num_attention_heads % tp:
        raise Skip("tp does not divide the heads")
    if not prefix and ep * wide > tp * adp:
        raise Skip("more ranks of experts than of attention")


def alone(row: Row, clients: int) -> None:
    """Raises Skip where a row's clients are more than its one server has requests of: others share them."""
    each = whole(row, "batch_per_gpu", 0) * max(1, whole(row, "attn_dp", 1))
    if 0 < each < clients:
        raise Skip("several replicas share its clients")


def world(
    row: Row, architecture: Model, parallel: Parallel, batch: int, lengths: tuple[int, int], *, together: bool = False
) -> World:
    """A worker with `batch` requests over its attention-DP ranks, which fills and decodes (`together`) or one of both. Raises Skip."""
    gpus = parallel.tp * parallel.pp * (parallel.adp or 1)
    prompt, output = lengths
    layers, pp = architecture.num_hidden_layers, parallel.pp
    base, extra = divmod(layers, pp)
    stages = [base + (part < extra) for part in range(pp)]
    config = Config(
        hardware=cluster(row, gpus),
        model=architecture if _own(row, architecture) else replace(architecture, quantization=Quantization()),
        parallel=replace(parallel, etp=parallel.etp if architecture.moe else 1, stages=stages),
        workload=Workload(
            kind="serve",
            global_batch_size=max(1, batch),
            sequence_lengths=[prompt],
            output_length=output,
            precision=precision(row, architecture),
            kv_cache_precision=launched.cached(row, precision(row, architecture)),
            prefill_chunk=launched.chunk(row) if row["mode"] in ("agg", "disagg") else None,
            draft_tokens=launched.drafts(row, architecture, parallel),
            draft_acceptance=launched.ACCEPTED,
        ),
        framework=launched.framework(row, batch if together else 1),
    )
    return planned(config)


def records(folder: Path) -> Iterator[Record]:
    for path in sorted(folder.glob("inference*.csv")):
        for row in read(path):
            yield from _of(row, folder)


def _of(row: Row, folder: Path) -> Iterator[Record]:
    measured = [(key, *METRICS[key], found) for key in METRICS if (found := number(row, key)) is not None]
    try:
        filled: dict[str, Any] = {"gpu": gpu_file(row), **_plan(row, folder)}
    except (Skip, *UNFIT) as why:
        filled = {"skipped": reason(why)}
    for key, family, factor, value in measured:
        metric = key.replace("_ms", "_s")
        base = Record(
            family, row["id"], row["source_id"], row["model"], metric, value * factor, date=row["source_date"]
        )
        software = (row["backend"], row["backend_version"])
        if key == "tokens_s_node" and "ask" in filled:
            per_node = min(nominal(filled["gpu"]).node.gpus, filled["world"].size)
            yield replace(base, software=software, **{**filled, "ask": {**filled["ask"], "ranks": per_node}})
        else:
            yield replace(base, software=software, **filled)


def _plan(row: Row, folder: Path) -> dict[str, Any]:
    """The worker that decodes (or the only one), and what else the prediction needs."""
    architecture = model(folder / "models" / f"{row['model_config']}.json")
    if row["phase"] in ("prefill", "decode"):
        return _one_phase(row, architecture)
    lengths = whole(row, "isl"), whole(row, "osl")
    offline = launched.requests(*lengths) if "max throughput" in row["phase"] else 0
    ask: dict[str, Any] = {"mode": row["mode"], "isl": lengths[0], "osl": lengths[1]}
    if row["mode"] == "agg":
        labelled(row, architecture)
        parallel = degrees(row)
        batch = offline or whole(row, "concurrency", whole(row, "batch_per_gpu", 0) * (parallel.adp or 1))
        alone(row, batch)
        found = world(row, architecture, parallel, batch, lengths, together=True)
        return {"world": found, "ask": {**ask, "offline": bool(offline), "batch": max(1, batch)}}
    if not row["decode_workers"] or not row["prefill_workers"]:
        raise Skip("number of workers of each pool not given")
    for pool in ("prefill_", "decode_"):
        labelled(row, architecture, pool)
    first, second = degrees(row, "prefill_"), degrees(row, "decode_")
    workers = whole(row, "prefill_workers"), whole(row, "decode_workers")
    load = whole(row, "concurrency")
    decoding = world(row, architecture, second, -(-load // workers[1]), lengths)
    filling = world(row, architecture, first, whole(row, "prefill_batch", 1) * (first.adp or 1), lengths)
    return {"world": decoding, "ask": {**ask, "batch": load, "prefill": filling, "workers": workers}}


def _one_phase(row: Row, architecture: Model) -> dict[str, Any]:
    """A pool measured alone: prompts of one token of output, or contexts that stay as long as they are."""
    gpus = whole(row, "gpus")
    tp = whole(row, "tp", 1)
    parallel = Parallel(tp=tp, ep=whole(row, "ep", 1), etp=1, adp=whole(row, "attn_dp", gpus // tp))
    prompt = whole(row, "isl", whole(row, "kv_len", 0))
    if not prompt:
        raise Skip("no context length")
    decodes = row["phase"] == "decode"
    if decodes and not row["batch_per_gpu"]:
        raise Skip("no batch of a pool that decodes")
    batch = whole(row, "batch_per_gpu", 1) * gpus
    found = world(row, architecture, parallel, batch, (prompt, 1))
    return {"world": found, "ask": {"mode": row["phase"]}}
