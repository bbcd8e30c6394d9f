"""A plan's values against what SGLang's own resolver makes of its arguments: degrees, precisions, cache, chunk, dispatcher, drafts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.frameworks import versions
from compiler.frameworks.asked import asked
from compiler.frameworks.options import number, options
from compiler.frameworks.proof import Finding, compared
from compiler.frameworks.quantized import SAME
from compiler.frameworks.serving import DTYPES, context_length, precision, stage_width
from compiler.frameworks.sglang.arguments import A2A, backend, given
from compiler.frameworks.sglang.caches import kept
from compiler.frameworks.sglang.emit import running
from compiler.frameworks.sglang.resolver.ask import Resolved
from compiler.specs.config import Config
from compiler.world import World

CACHED = {"float8_e4m3fn": "fp8", "float8_e4m3fnuz": "fp8", "bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
"""torch's types of cached keys and values, in the plan's words."""

DIVIDED = "chunked_prefill_size"
"""What is meant to come out otherwise than it was given: divided by the attention DP."""

LEFT = (
    "attention_backend page_size moe_runner_backend mem_fraction_static chunked_prefill_size sampling_backend disable_overlap_schedule"
).split()
"""What a plan leaves to SGLang, for a reader to know."""

ALIKE = {"bf16": "bfloat16", "none": None}


def findings(world: World, answer: Resolved) -> Iterator[Finding]:
    """Every value that the plan rests on; then what SGLang changed of the arguments, and what it chose by itself."""
    if answer.stop is not None:
        yield Finding("resolved arguments", equal=False, planned="a server that starts", found=answer.stop)
        return
    for what, planned in _planned(world).items():
        yield _held(f"resolved {what}", planned, answer)
    yield compared("resolved arguments", [], list(_changed(answer)))
    left = ", ".join(f"{name}={answer.resolved.get(name)}" for name in LEFT)
    yield Finding("left to SGLang", equal=True, planned=left, found=left)


def _held(what: str, planned: Mapping[str, Any], answer: Resolved) -> Finding:
    """One finding about several values; where some differ, those alone, with what set them."""
    found = _found(answer)
    wrong = [name for name, value in planned.items() if _one(found.get(name)) != _one(value)]
    shown = wrong or list(planned)
    return Finding(
        what,
        equal=not wrong,
        planned=" ".join(f"{name}={planned[name]}" for name in shown),
        found=" ".join(
            f"{name}={found.get(name)}" + (f" ({answer.by(name)})" if name in wrong else "") for name in shown
        ),
    )


def _one(value: Any) -> Any:
    """A value in one spelling."""
    names = next((names for names in SAME if value in names), None)
    return names or (ALIKE.get(value, value) if isinstance(value, str) else value)


def _found(answer: Resolved) -> dict[str, Any]:
    model = answer.model
    return {
        **answer.resolved,
        "dtype": model["dtype"],
        "quantization": model["quantization"],
        "context_length": model["context_length"],
        "kv_cache": CACHED.get(model["kv_cache"], model["kv_cache"]),
    }


def _planned(world: World) -> dict[str, dict[str, Any]]:
    config, degrees = world.config, world.degrees
    args, workload, model = given(config), config.workload, config.model
    wide = model.wide(workload.precision)
    own = model.keeps_quantization(workload.precision) or not model.stored
    kept_as = model.quantization.method if own else None
    method = options([*precision(config), *config.framework.args]).get("--quantization", kept_as)
    found: dict[str, dict[str, Any]] = {
        "degrees": {
            "tp_size": stage_width(degrees),
            "pp_size": degrees.pp,
            **_replicas(config),
            "attn_cp_size": degrees.cp,
            "dcp_size": number(args, "--dcp-size", 1),
            "ep_size": degrees.ep,
            "moe_dp_size": degrees.edp if model.moe else 1,
            "moe_dense_tp_size": number(args, "--moe-dense-tp-size", 0) or None,
        },
        "precision": {"dtype": DTYPES[wide], "quantization": method},
        "KV cache": {"kv_cache": kept(config)},
        "requests": {
            "context_length": context_length(config),
            "max_running_requests": running(config),
            "disaggregation_mode": workload.role or "null",
        },
    }
    return found | _passes(world)


def _replicas(config: Config) -> dict[str, Any]:
    """Attention DP, which releases before 0.5.22 have no field of its own for."""
    adp = config.degrees.adp
    own = any(text.startswith("--attn-dp-size") for text in versions.version(config).facts["attention_dp"])
    return {"dp_size": 1, "attn_dp_size": adp} if own else {"dp_size": adp}


def _passes(world: World) -> dict[str, dict[str, Any]]:
    config, wanted = world.config, asked(world.config)
    args = given(config)
    found: dict[str, dict[str, Any]] = {}
    if config.model.moe:
        found["dispatcher"] = {"moe_a2a_backend": backend(args)}
        if A2A in args and "--deepep-mode" in args:
            found["dispatcher"]["deepep_mode"] = args["--deepep-mode"]
    if wanted.chunk is not None:
        found["chunk"] = {DIVIDED: wanted.chunk}
    if wanted.drafts:
        found["drafts"] = {"speculative_num_steps": wanted.drafts, "speculative_num_draft_tokens": wanted.drafts + 1}
    return found


def _changed(answer: Resolved) -> Iterator[str]:
    """Arguments that were given and are not what the server runs with."""
    for name, value in sorted(answer.given.items()):
        found = answer.resolved.get(name)
        if name in answer.resolved and name != DIVIDED and value != "auto" and _one(found) != _one(value):
            yield f"{name} {value} -> {found} by {answer.by(name)}"
