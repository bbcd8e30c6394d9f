"""What SGLang takes of checkpoints and shares of memory on AMD's GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.frameworks import versions
from compiler.frameworks.devices import device
from compiler.frameworks.options import options
from compiler.frameworks.quantized import SAME
from compiler.frameworks.serving import context_length, stage_width
from compiler.frameworks.sglang.checkpoint import sparse
from compiler.specs.config import Config

SHARE = "--mem-fraction-static"
HONOURED = "SGLANG_AITER_HONOR_EXPLICIT_MEM_FRACTION"
AITER_TOKENS, AITER_PART = 8192, 0.85
"""A context above which aiter's attention takes that part of any share (`arg_groups/attention_hook.py`)."""

AITER_HEADS = (16, 128)
"""Key heads of a rank that its latent attention has kernels for (`get_default_attn_backend`)."""


@rule
def rules(config: Config, source: str) -> Iterator[Check]:
    """`source` names SGLang and its version."""
    if device(config.hardware.gpu).amd:
        yield from _method(config, source)
        yield from _share(config, source)


@rule
def _method(config: Config, source: str) -> Iterator[Check]:
    model, facts = config.model, versions.version(config).facts
    method = model.quantization.method
    if method is None or not model.keeps_quantization(config.workload.precision):
        return
    own = device(config.hardware.gpu)
    taken = [name for name in facts["amd"] if name != "mxfp4" or own.arch in facts["amd_mxfp4"]]
    names = {name for names in SAME if method in names for name in names} | {method}
    yield check(
        "sglang-quantization-device",
        holds=bool(names & set(taken)),
        observed=method,
        limit=", ".join(taken),
        message=f"{source} configs/model_config.py loads no checkpoint of {method} on {own.name} ({own.arch})",
        fix="take a checkpoint in one of the formats that it loads there, or another GPU",
    )


def _aiter(config: Config) -> bool:
    """Whether its attention is aiter's."""
    model, asked = config.model, options(config.framework.args).get("--attention-backend")
    if asked is not None or sparse(model):
        return asked == "aiter"
    return not model.mla or max(model.kv_heads // stage_width(config.degrees), 1) in AITER_HEADS


@rule
def _share(config: Config, source: str) -> Iterator[Check]:
    given, tokens = options(config.framework.args), context_length(config)
    variables = {**config.site.environment, **config.launch.environment}
    if SHARE in given and _aiter(config) and tokens > AITER_TOKENS:
        yield check(
            "sglang-aiter-share",
            holds=variables.get(HONOURED, "").lower() in ("1", "true", "yes"),
            observed=given[SHARE],
            limit=f"{AITER_PART} of it",
            message=f"{source} arg_groups/attention_hook.py: with aiter's attention and a context of {tokens} tokens it takes {AITER_PART} of "
            f"{SHARE}={given[SHARE]}, and the plan counts with all of it",
            fix=f"write launch.environment.{HONOURED}=1, or leave {SHARE} out",
            otherwise=Status.WARN,
        )
