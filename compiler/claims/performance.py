"""Facts about a plan's speed that people claim things of: intensity, utilisation, and the share of communication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compiler.costs.case import Case
from compiler.costs.work.flops import model_forward_per_token, peak_flops
from compiler.costs.work.forward import Forward, dispatched, found_tokens, one_token, prompt_pass, touched_fraction
from compiler.costs.work.params import totals

Fact = float | int | None
NAMES = (
    "prefill_intensity_shortest",
    "prefill_intensity_longest",
    "decode_intensity",
    "prefill_mfu",
    "prefill_communication_share",
    "decode_communication_share",
    "decode_tp_share",
    "decode_over_prefill_communication",
)


def performance(plan: Case, projection: Mapping[str, Any]) -> dict[str, Fact]:
    """Of serving; None where a plan has no such phase."""
    found: dict[str, Fact] = dict.fromkeys(NAMES)
    serve = projection.get("serve", {})
    if prefill := serve.get("prefill"):
        first, last = prefill[0], prefill[-1]
        found["prefill_intensity_shortest"] = intensity(plan, prompt_pass(plan, first["sequence_length"]))
        found["prefill_intensity_longest"] = intensity(plan, prompt_pass(plan, last["sequence_length"]))
        found["prefill_mfu"] = max((_mfu(plan, row) for row in prefill), default=None)
        found["prefill_communication_share"] = share(last["parts"], last["ttft_s"], "tp_s", "ep_s", "pp_s")
    if decode := serve.get("decode"):
        last = decode[-1]
        step = replace(plan, workload=replace(plan.workload, global_batch_size=last["batch"]))
        found["decode_intensity"] = intensity(step, one_token(step, last["context_length"]))
        found["decode_communication_share"] = share(last["parts"], last["tpot_s"], "tp_s", "ep_s", "pp_s")
        found["decode_tp_share"] = share(last["parts"], last["tpot_s"], "tp_s")
    ahead, each = found["prefill_communication_share"], found["decode_communication_share"]
    found["decode_over_prefill_communication"] = each / ahead if each is not None and ahead else None
    return found


def intensity(plan: Case, forward: Forward) -> float:
    """FLOPs for a byte of weights that is read, over those at which the GPU's arithmetic is as slow as its memory: below 1
    the memory sets the pace. Of dense products, or of experts where theirs is lower.
    """
    gpu = plan.hardware.gpu
    ridge = peak_flops(gpu, plan.workload.precision) * gpu.compute_efficiency
    ridge /= gpu.memory_bandwidth * gpu.memory_efficiency
    rows = float(forward.tokens)
    if plan.model.moe:
        touched = float(plan.local_experts * touched_fraction(plan, forward))
        rows = min(rows, float(dispatched(plan, forward)) / max(touched, 1e-9))
    return 2 * rows / plan.read_bytes("experts" if plan.model.moe else "mlp") / ridge


def share(parts: Mapping[str, float], whole: float | None, *names: str) -> float | None:
    """What some parts are of a time."""
    return sum(parts.get(name) or 0.0 for name in names) / whole if whole else None


def _mfu(plan: Case, row: Mapping[str, Any]) -> float:
    """Model FLOPs a GPU does in a second over its peak, in one prefill: of the tokens that are computed, each as one of the whole prompt
    is on average.
    """
    model, length = plan.model, float(row["sequence_length"])
    per_token = model_forward_per_token(model, totals(model), length, train=False)
    per_token *= 1 - found_tokens(plan.workload, length) / max(length, 1)
    return per_token * (row["tokens_per_s_per_gpu"] or 0.0) / peak_flops(plan.hardware.gpu, plan.workload.precision)
