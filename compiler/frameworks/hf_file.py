"""A model as the `config.json` of a checkpoint that a server would load: what `config/hf.py` reads, written.

Where the model does not say of which family it is, it is written as one with the same parts (`family.py`).
"""

from __future__ import annotations

from typing import Any

from compiler.frameworks import family
from compiler.specs.model import Model

_TORCH = {"fp32": "float32", "fp16": "float16"}
_PLAIN = (
    "num_hidden_layers hidden_size num_attention_heads vocab_size tie_word_embeddings num_experts_per_tok n_group topk_group "
    "scoring_func norm_topk_prob routed_scaling_factor first_k_dense_replace num_nextn_predict_layers q_lora_rank "
    "kv_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim rope_theta attention_bias mlp_bias"
).split()


def written(model: Model, precision: str, length: int) -> dict[str, Any]:
    """The object of the file. `precision` is the plan's, `length` the tokens that requests have at most.

    KeyError where the family is `family.unknown`.
    """
    kind = family.family(model)
    found = {key: getattr(model, key) for key in _PLAIN if getattr(model, key) is not None}
    found |= {
        "model_type": family.ALSO.get(kind, kind),
        "architectures": [family.CLASSES[kind]],
        "torch_dtype": _TORCH.get(model.dtype, "bfloat16"),
        "num_key_value_heads": model.kv_heads,
        "intermediate_size": model.intermediate_size or model.expert_size,
        "max_position_embeddings": max(model.max_position_embeddings or 0, length),
        "hidden_act": "silu",
        "rms_norm_eps": model.norm_epsilon,
        "bos_token_id": 0,
        "eos_token_id": 1,
        **_experts(model, kind),
        **_quantised(model, precision),
    }
    if not model.mla:
        found["head_dim"] = model.head_size
    if model.sliding_window:
        found |= {"sliding_window": model.sliding_window, "use_sliding_window": True}
    if model.index_topk is not None:
        found |= family.indexer(model)
    if types := family.plain(model):
        found["layer_types"] = types
    return found | _of_its_own(model, kind, found)


def _of_its_own(model: Model, kind: str, found: dict[str, Any]) -> dict[str, Any]:
    """Keys that a family calls otherwise, or has alone."""
    if kind == "gpt2":
        names = {"n_embd": "hidden_size", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads"}
        sizes = {name: found[key] for name, key in names.items()}
        return sizes | {"n_inner": model.intermediate_size, "n_positions": found["max_position_embeddings"]}
    if kind == "llama4_text":
        routed = [layer for layer, has in enumerate(model.moe_layers) if has]
        rotates = model.no_rope_layers or [1] * model.num_hidden_layers
        return {
            "moe_layers": routed,
            "no_rope_layers": rotates,
            "num_local_experts": model.num_experts,
            "intermediate_size": model.expert_size,
            "intermediate_size_mlp": model.intermediate_size or model.expert_size,
            "attention_chunk_size": model.sliding_window or 8192,
        }
    return {}


def _experts(model: Model, kind: str) -> dict[str, Any]:
    if not model.moe:
        return {}
    count, width = model.num_experts, model.expert_size
    if kind in ("mixtral", "gpt_oss", "minimax_m2"):
        return {"num_local_experts": count, "intermediate_size": width}
    found = {"moe_intermediate_size": width, "norm_topk_prob": model.norm_topk_prob}
    if kind.startswith("qwen"):
        return found | {
            "num_experts": count,
            "shared_expert_intermediate_size": model.shared_size,
            "decoder_sparse_step": 1,
        }
    grouped = {"topk_method": "noaux_tc", "moe_layer_freq": 1}
    return found | {"n_routed_experts": count, "n_shared_experts": model.num_shared_experts or None, **grouped}


def _quantised(model: Model, precision: str) -> dict[str, Any]:
    """The checkpoint's own quantisation, where the plan serves it as it is: its method and, of its details, what decides."""
    method, own = model.quantization.method, model.quantization
    if method is None or not model.keeps_quantization(precision):
        return {}
    forms = list(own.weights.values())
    block = next((form.block for form in forms if form.block), None)
    scheme = forms[0].scheme if forms else ""
    given: dict[str, Any] = {"quant_method": method}
    if method == "fp8":
        given |= {"activation_scheme": "dynamic", **({"weight_block_size": block} if block else {})}
    elif method in ("awq", "gptq"):
        bits = int(scheme.removeprefix("int") or 4)
        given |= {
            "bits": bits,
            "group_size": (block or [1, 128])[1],
            "zero_point": True,
            "desc_act": False,
            "sym": True,
        }
    elif method.startswith("modelopt"):
        algorithm = {"nvfp4": "NVFP4", "fp8": "FP8"}.get(scheme, "NVFP4")
        given |= {"quant_algo": algorithm, "group_size": 16, "ignore": [], "exclude_modules": ["lm_head"]}
        given |= {"kv_cache_quant_algo": {"fp8": "FP8", "nvfp4": "NVFP4"}.get(own.kv_cache or "")}
    elif method == "compressed-tensors":
        given |= _compressed(own.kv_cache, scheme, block, forms[0].activations if forms else None)
    return {"quantization_config": given}


def _compressed(cache: str | None, scheme: str, block: list[int] | None, activations: str | None) -> dict[str, Any]:
    """One group of matrices, in the words of compressed-tensors."""
    bits, kind = (int(scheme[3:]), "int") if scheme.startswith("int") else (4 if "fp4" in scheme else 8, "float")
    size = (block or [1, 0])[1]
    weights = {
        "num_bits": bits,
        "type": kind,
        "symmetric": True,
        "strategy": "group" if size else "channel",
        "dynamic": False,
    }
    inputs = (
        {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "token", "dynamic": True}
        if activations
        else None
    )
    group = {"targets": ["Linear"], "weights": weights | {"group_size": size or None}, "input_activations": inputs}
    scales = {"fp8": {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False, "symmetric": True}}
    form = "float-quantized" if kind == "float" else "pack-quantized"
    groups = {"group_0": group} if scheme else {}
    return {"format": form, "config_groups": groups, "ignore": ["lm_head"], "kv_cache_scheme": scales.get(cache or "")}
