"""Bytes that one layer of Megatron's own keeps for its backward pass, as autograd has them: for a process of its own.

    python -m tests.megatron_saved CASES      (JSON: a list of fields of TransformerConfig, and `mla`)

Kernels that need a GPU have stand-ins that keep what they keep: fused attention its inputs, its output and a log-sum-exp of each
query (FlashAttention), a fused norm its input and a scale of each token (Transformer Engine).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from importlib import import_module
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as functional

LENGTH, SEQUENCES = 32, 16


class _Flash(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        query, key, value = (each.contiguous() for each in inputs)
        output = value.new_zeros(*query.shape[:3], value.shape[3])
        ctx.save_for_backward(query, key, value, output, torch.zeros(query.shape[:3]))
        return output


class _Norm(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    @staticmethod
    def forward(ctx: Any, hidden: Any) -> Any:
        ctx.save_for_backward(hidden, torch.zeros(hidden.shape[:-1]))
        return hidden.clone()


class _FusedAttention(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    def __init__(self, **_: Any) -> None:
        super().__init__()

    def forward(self, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
        found = _Flash.apply(query, key, value)
        return found.view(*found.shape[:2], -1)


class _FusedNorm(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    def __init__(self, **_: Any) -> None:
        super().__init__()

    def forward(self, hidden: Any) -> Any:
        return _Norm.apply(hidden)


def _on_the_cpu(stack: contextlib.ExitStack) -> None:
    """Streams, events and random states of a GPU that is not there."""
    cuda: dict[str, Any] = {name: mock.MagicMock() for name in ("Stream", "Event", "current_stream", "synchronize")}
    cuda |= {"current_device": lambda: torch.device("cpu"), "stream": lambda _: contextlib.nullcontext()}
    stack.enter_context(mock.patch.multiple(torch.cuda, **cuda))
    stack.enter_context(mock.patch.object(torch.Tensor, "cuda", lambda self, *_, **__: self))
    random = import_module("megatron.core.tensor_parallel.random")
    latent = import_module("megatron.core.transformer.multi_latent_attention")
    routed = import_module("megatron.core.transformer.moe.moe_utils")
    made: dict[str, Any] = {"_get_all_rng_states": lambda: (), "_set_all_rng_states": lambda *_: None}
    made |= {"_fork_rng": contextlib.nullcontext, "activation_recompute_forward": lambda **_: contextlib.nullcontext()}
    made |= {"FP8GlobalStateManager": mock.MagicMock(is_fp8_enabled=lambda: False)}
    stack.enter_context(mock.patch.multiple(random, **made, create=True))
    absent: dict[str, Any] = {name: type(name, (), {}) for name in ("TELinear", "TEColumnParallelLinear")}
    stack.enter_context(mock.patch.multiple(latent, **absent, create=True))
    stack.enter_context(mock.patch.object(routed, "te_general_gemm", None, create=True))


def _alone() -> None:
    """A world of one rank."""
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "CUDA_DEVICE_MAX_CONNECTIONS": "1"}
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    import_module("megatron.core.parallel_state").initialize_model_parallel(create_gloo_process_groups=False)


def _layer(fields: dict[str, Any]) -> tuple[Any, Any]:
    specs = import_module("megatron.core.models.gpt.gpt_layer_specs")
    configs = import_module("megatron.core.transformer.transformer_config")
    latent = fields.pop("mla", False)
    made = configs.MLATransformerConfig if latent else configs.TransformerConfig
    usual = {"num_layers": 1, "bf16": True, "params_dtype": torch.bfloat16, "use_cpu_initialization": True}
    usual |= {"hidden_dropout": 0.0, "attention_dropout": 0.0, "add_bias_linear": False, "gated_linear_unit": True}
    usual |= {"activation_func": functional.silu, "normalization": "RMSNorm", "bias_activation_fusion": True}
    usual |= {"persist_layer_norm": False, "gradient_accumulation_fusion": False}
    if "num_moe_experts" in fields:
        usual |= {"moe_token_dispatcher_type": "alltoall", "moe_router_load_balancing_type": "none"}
    config = made(**usual | fields)
    spec = specs.get_gpt_layer_local_spec(
        num_experts=config.num_moe_experts, moe_grouped_gemm=False, multi_latent_attention=latent, qk_layernorm=latent
    )
    _stand_in(spec.submodules)
    _stand_in(spec.submodules.self_attention.submodules)
    build = import_module("megatron.core.transformer.spec_utils").build_module
    return config, build(spec, config=config, layer_number=1).bfloat16()


def _stand_in(submodules: Any) -> None:
    for name, kind in vars(submodules).items():
        if name == "core_attention":
            setattr(submodules, name, _FusedAttention)
        elif name.endswith("layernorm") and kind is not None and "Identity" not in kind.__name__:
            setattr(submodules, name, _FusedNorm)


def saved(fields: dict[str, Any]) -> float:
    """Bytes of a token. A storage counts once, weights do not; what was given back by then has no bytes."""
    latent, width = fields.get("mla", False), fields.get("kv_channels", 0)
    config, layer = _layer(dict(fields))
    weights = {each.untyped_storage().data_ptr() for each in layer.parameters()}
    kept: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept.setdefault(storage._cdata, storage)
        return tensor

    hidden = torch.randn(LENGTH, SEQUENCES, config.hidden_size, dtype=torch.bfloat16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = layer(hidden, attention_mask=None, rotary_pos_emb=None if latent else torch.zeros(LENGTH, 1, 1, width))
    del output
    return float(sum(storage.nbytes() for storage in kept.values()) / (LENGTH * SEQUENCES))


def main(cases: list[dict[str, Any]]) -> list[float]:
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _alone()
        _on_the_cpu(stack)
        return [saved(fields) for fields in cases]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
