"""A program of its own: what vLLM makes of arguments. JSON in on stdin, JSON out on stdout.

Its own parser and `EngineArgs.create_engine_config` run whole, on a GPU that is pretended where NVML is asked for one. What
it imports, is not installed and has no say is stood in for (`standin.py`); optional packages are missing, as they are
after `pip install vllm`. Each case runs in a fork, so that nothing that vLLM remembers of one reaches another.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from compiler.frameworks.standin import StandIn
from compiler.frameworks.vllm.pretended import STOOD_IN, pretend

KEPT_BACK = ("VLLM_", "HF_", "TRANSFORMERS_", "CUDA_")
"""Beginnings of variables that are this process's own, and would be read as a plan's."""

READ: Mapping[str, Callable[[Any], Any]] = {
    "tp": lambda made: made.parallel_config.tensor_parallel_size,
    "pp": lambda made: made.parallel_config.pipeline_parallel_size,
    "cp": lambda made: made.parallel_config.prefill_context_parallel_size,
    "dcp": lambda made: made.parallel_config.decode_context_parallel_size,
    "adp": lambda made: made.parallel_config.data_parallel_size,
    "local_dp": lambda made: made.parallel_config.data_parallel_size_local,
    "nodes": lambda made: made.parallel_config.nnodes,
    "expert_parallel": lambda made: made.parallel_config.enable_expert_parallel,
    "placement": lambda made: made.parallel_config.expert_placement_strategy,
    "eplb": lambda made: made.parallel_config.enable_eplb,
    "redundant": lambda made: made.parallel_config.eplb_config.num_redundant_experts,
    "dispatcher": lambda made: made.parallel_config.all2all_backend,
    "overlap": lambda made: made.parallel_config.enable_dbo,
    "executor": lambda made: made.parallel_config.distributed_executor_backend,
    "dtype": lambda made: str(made.model_config.dtype).removeprefix("torch."),
    "quantization": lambda made: made.model_config.quantization,
    "length": lambda made: made.model_config.max_model_len,
    "cache": lambda made: made.cache_config.cache_dtype,
    "block": lambda made: made.cache_config.block_size,
    "memory_share": lambda made: made.cache_config.gpu_memory_utilization,
    "chunk": lambda made: made.scheduler_config.max_num_batched_tokens,
    "chunked": lambda made: made.scheduler_config.enable_chunked_prefill,
    "sequences": lambda made: made.scheduler_config.max_num_seqs,
    "async_scheduling": lambda made: made.scheduler_config.async_scheduling,
    "graphs": lambda made: made.compilation_config.cudagraph_mode.name,
    "graph_tokens": lambda made: made.compilation_config.max_cudagraph_capture_size,
    "drafts": lambda made: made.speculative_config.num_speculative_tokens if made.speculative_config else 0,
    "connector": lambda made: made.kv_transfer_config.kv_connector if made.kv_transfer_config else None,
}
"""What is read of a VllmConfig -> how."""


def resolve(case: Mapping[str, Any], said: list[str]) -> dict[str, Any]:
    """Every value that is read, and what the attention of such a layer caches. Raises whatever vLLM refuses with."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.common.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.model_executor.models import registry
    from vllm.usage.usage_lib import UsageContext
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    registry._run_in_subprocess = lambda function: function()  # noqa: SLF001 - another process would have no GPU
    logging.getLogger("vllm").addHandler(_Recorder(said))
    logging.getLogger("vllm").setLevel(logging.INFO)
    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(case["arguments"])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(case["model"]), encoding="utf-8")
        parsed.model, parsed.model_tag = folder, None
        parsed.tokenizer = parsed.tokenizer and folder
        validate_parsed_serve_args(parsed)
        made = AsyncEngineArgs.from_cli_args(parsed).create_engine_config(
            usage_context=UsageContext.OPENAI_API_SERVER, headless=bool(parsed.headless)
        )
        return {name: read(made) for name, read in READ.items()} | _cached(made)


def _cached(made: Any) -> dict[str, Any]:
    """The attention back end of a layer, what it makes of the cache's dtype, and bytes that a layer caches of a token on a rank."""
    from vllm.config import set_current_vllm_config
    from vllm.model_executor.layers.attention import mla_attention as latent
    from vllm.utils.torch_utils import kv_cache_dtype_str_to_dtype
    from vllm.v1.attention.selector import get_attn_backend
    from vllm.v1.kv_cache_interface import FullAttentionSpec, get_kv_quant_mode

    model, dtype, size = made.model_config, made.cache_config.cache_dtype, made.model_config.get_head_size()
    sparse = model.use_mla and hasattr(model.hf_text_config, "index_topk")
    if dtype == "auto" and not model.use_mla and getattr(made.quant_config, "kv_cache_scheme", None) is not None:
        dtype = "fp8"  # as an attention layer does (layers/attention/attention.py)
    more = (
        {"use_sparse": sparse, "num_heads": model.get_num_attention_heads(made.parallel_config)}
        if model.use_mla
        else {}
    )
    with set_current_vllm_config(made):
        chosen = get_attn_backend(size, model.dtype, dtype, use_mla=model.use_mla, **more)
        if model.use_mla:
            dtype = latent._canonicalize_sparse_mla_kv_cache_dtype(chosen, dtype)  # noqa: SLF001 - what a layer calls
            own = {
                "sliding_window": None,
                "topk_buffer_width": None,
                "indexer": None,
                "non_causal_multi_token_decode": False,
            }
            layer = SimpleNamespace(kv_cache_dtype=dtype, head_size=size, **own)
            spec = latent.MLAAttention.get_kv_cache_spec(layer, made)
        else:
            heads, stored = model.get_num_kv_heads(made.parallel_config), kv_cache_dtype_str_to_dtype(dtype, model)
            how = {"dtype": stored, "kv_quant_mode": get_kv_quant_mode(dtype)}
            spec = FullAttentionSpec(made.cache_config.block_size, num_kv_heads=heads, head_size=size, **how)
    index = model.hf_text_config.index_head_dim if sparse else 0
    return {
        "attention": chosen.get_name(),
        "stored": dtype,
        "token_bytes": spec.page_size_bytes / spec.block_size,
        "index_bytes": index + index // 128 * 4,
    }


class _Recorder(logging.Handler):
    """Keeps what vLLM says it does otherwise than told."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.INFO)
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            self.said.append(" ".join(record.getMessage().split())[:300])


def answered(case: Mapping[str, Any]) -> dict[str, Any]:
    """The values and the log, or the stop and its reason."""
    os.environ.update(case["environment"])
    said: list[str] = []
    try:
        return {"values": resolve(case, said), "said": said}
    except SystemExit:
        return {"stopped": "its parser does not take the arguments", "said": said}
    except Exception as error:  # noqa: BLE001 - whatever it refuses with is the answer
        return {"stopped": reason(error), "said": said}


def reason(error: Exception) -> str:
    """The first lines of an error: pydantic says where before it says what."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = [line for line in lines if "rror," in line] or lines or [type(error).__name__]
    return found[0].partition(" [type=")[0][:1500]


def apart(function: Callable[[], Any]) -> Any:
    """The value of a function that runs in a fork; an error text where the fork ends without one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            json.dump(function(), pipe)
            pipe.flush()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def of_gpu(gpu: Mapping[str, Any], cases: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answers to the cases of one kind of GPU, for which vLLM is imported once: some of its modules ask while they are imported."""
    pretend(gpu)
    _imported({name for case in cases for name in case["model"]["architectures"]})
    return [apart(partial(answered, case)) or {"stopped": "the process ended", "said": []} for case in cases]


def _imported(architectures: set[str]) -> None:
    """Whatever every fork would import again; what cannot be is for the case that needs it to say."""
    import vllm.engine.arg_utils
    import vllm.entrypoints.common.cli_args  # noqa: F401
    from vllm.model_executor.models.registry import ModelRegistry
    from vllm.platforms import cuda, current_platform

    for name in sorted(architectures & set(ModelRegistry.models)):
        with contextlib.suppress(Exception):
            ModelRegistry.models[name].load_model_cls()
    for latent in (False, True):
        for backend in cuda._get_backend_priorities(latent, current_platform.get_device_capability()):  # noqa: SLF001
            with contextlib.suppress(Exception):
                backend.get_class()


def main() -> None:
    """Answer every case of the question, in order."""
    answers_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    question = json.load(sys.stdin)
    for name in [name for name in os.environ if name.startswith(KEPT_BACK)]:
        del os.environ[name]
    os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_CACHE_ROOT": question["scratch"], "VLLM_CONFIGURE_LOGGING": "0"}
    sys.path.insert(0, question["root"])
    import transformers  # noqa: F401 - before anything is stood in for, which it would find

    StandIn(STOOD_IN, question["extensions"])
    import torch._dynamo
    import torch._inductor.custom_graph_pass  # noqa: F401 - so that no fork imports them again

    found: dict[int, dict[str, Any]] = {}
    kinds = {json.dumps(case["gpu"], sort_keys=True): case["gpu"] for case in question["cases"]}
    for kind, gpu in kinds.items():
        own = [i for i, case in enumerate(question["cases"]) if json.dumps(case["gpu"], sort_keys=True) == kind]
        answers = apart(partial(of_gpu, gpu, [question["cases"][i] for i in own]))
        if answers is None:
            raise SystemExit(1)
        found |= dict(zip(own, answers, strict=True))
    json.dump([found[i] for i in range(len(found))], answers_to)
    answers_to.close()


if __name__ == "__main__":
    main()
