"""The process in which SGLang resolves arguments: reads a request, imports SGLang, answers a line for each case.

Nothing of the compiler's is used here but its neighbours, and what is pretended stays in this process. Each case runs in a fork
of it, for a resolution leaves its marks on the environment and on modules.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from compiler.frameworks.sglang.resolver import device, missing

HEARD = ("fp8", "mxfp8", "modelopt", "modelopt_fp8", "modelopt_fp4", "modelopt_mixed")
"""Methods that have a word about the KV cache (`kv_cache_quant_algo` of `layers/quantization/{fp8,modelopt_quant}.py`)."""


def main() -> None:
    """A request is {root, device, cases: [{arguments, environment}]}; an answer {stop} or what `_resolved` returns."""
    request = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what SGLang prints is none of ours
    os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HOME": "/nonexistent"})
    sys.path.insert(0, request["root"])
    device.pretend(request["device"])
    missing.stand_in()
    module = import_module("sglang.srt.server_args")
    kept = dict(os.environ)
    with contextlib.suppress(BaseException):  # modules that are imported late are then there for all forks
        _resolved(module, request["cases"][0])
    os.environ.clear()
    os.environ.update(kept)
    for case in request["cases"]:
        answers.write(_forked(module, case).strip() + "\n")
        answers.flush()


def _forked(module: Any, case: Mapping[str, Any]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "w") as answer:
            answer.write(json.dumps(_answer(module, case), default=str))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text or json.dumps({"stop": "the process ended without a word"})


def _answer(module: Any, case: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _resolved(module, case)
    except SystemExit:
        return {"stop": "its parser refuses the arguments"}
    except Exception as error:  # noqa: BLE001 - whatever it stops at is the answer
        return {"stop": f"{type(error).__name__}: {error}"}


def _resolved(module: Any, case: Mapping[str, Any]) -> dict[str, Any]:
    """`given`: the fields that the arguments set; `resolved`: every field; `declared`: [who, what it set] in order; `model`."""
    os.environ.update(case["environment"])
    args = module.prepare_server_args(case["arguments"])
    args.resolve_once()
    args.check_server_args()
    return {
        "given": _given(module, case["arguments"]),
        "resolved": args.resolved_dict(),
        "declared": args._resolved_overrides,  # noqa: SLF001 - where it keeps them
        "model": _model(args),
    }


def _given(module: Any, arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    module.ServerArgs.add_cli_args(parser)
    for action in parser._actions:  # noqa: SLF001 - no public way to them
        action.default = argparse.SUPPRESS
    return vars(parser.parse_args(arguments))


def _model(args: Any) -> dict[str, Any]:
    """What it makes of the checkpoint: by ModelConfig, and by the function that a worker asks for the type of its KV cache."""
    found = import_module("sglang.srt.arg_groups.overrides").model_config_of(args)
    quantized = _quantized(found)
    cache = import_module("sglang.srt.mem_cache.kv_cache_dtype").configure_kv_cache_dtype
    view = import_module("sglang.srt.arg_groups.overrides").resolved_view(args)
    _, kept = cache(
        server_args_kv_cache_dtype=view.kv_cache_dtype,
        model=argparse.Namespace(quant_config=quantized),
        model_dtype=found.dtype,
        is_draft_worker=False,
        is_dflash=False,
        speculative_draft_attention_backend=None,
    )
    return {
        "architecture": found.hf_config.architectures[0],
        "attention": found.attention_arch.name,
        "dtype": str(found.dtype).removeprefix("torch."),
        "quantization": found.quantization,
        "context_length": found.context_len,
        "kv_cache": str(kept).removeprefix("torch."),
    }


def _quantized(model: Any) -> Any:
    """The checkpoint's own quantisation as its loader reads it; None where it says nothing of the cache."""
    if model.quantization not in HEARD:
        return None
    loading = import_module("sglang.srt.configs.load_config").LoadConfig()
    return import_module("sglang.srt.model_loader.weight_utils").get_quant_config(model, loading, {}, None)


if __name__ == "__main__":
    main()
