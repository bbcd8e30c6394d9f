"""Parts that read feed-forward blocks: which layers route to experts, and routers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.config.families.source import Part, Source
from compiler.specs.limits import LAYERS

NOTHING: Mapping[str, str] = {}

SCORES = ("softmax", "sigmoid", "sqrtsoftplus")


def frequency(routed: list[bool]) -> int | list[int]:
    """`moe_layer_freq`: 1 where every layer routes to experts, else an entry a layer."""
    return 1 if all(routed) else [int(entry) for entry in routed]


def shared(size: int | None) -> dict[str, Any]:
    return {"num_shared_experts": 1, "shared_expert_intermediate_size": size} if size else {}


def local(source: Source) -> dict[str, Any]:
    """Every layer routes, and `intermediate_size` is an expert's."""
    return {
        "num_experts": source.required("num_local_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("intermediate_size"),
        "intermediate_size": 0,
        **shared(source.positive("shared_intermediate_size")),
    }


def qwen(source: Source) -> dict[str, Any]:
    step, dense = source.integer("decoder_sparse_step", 1, minimum=1), source.places("mlp_only_layers") or ()
    routed = [i not in dense and (i + 1) % step == 0 for i in range(source.layers())]
    return {
        "num_experts": source.required("num_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "moe_layer_freq": frequency(routed),
        **shared(source.positive("shared_expert_intermediate_size")),
    }


def listed(keys: Mapping[str, str] = NOTHING, *, first: str | int = "first_k_dense_replace", default: int = 0) -> Part:
    """Experts on the layers that `mlp_layer_types` calls sparse, else on those after the first few: the file's key `first`, or a number.
    `keys` are a family's own names; shared experts are as wide as routed ones, or of a width of their own.
    """

    def part(source: Source) -> dict[str, Any]:
        def name(key: str) -> str:
            return keys.get(key, key)

        count, width = source.integer(name("n_shared_experts"), 0), source.positive(name("shared_width"))
        found = {
            "num_experts": source.required(name("n_routed_experts")),
            "num_experts_per_tok": source.required(name("num_experts_per_tok")),
            "moe_intermediate_size": source.required(name("moe_intermediate_size")),
            "num_shared_experts": count,
            **_places(source, first, default),
            **_groups(source),
            "num_nextn_predict_layers": source.integer("num_nextn_predict_layers", 0),
        }
        return {**found, **shared(width)}

    return part


def _places(source: Source, first: str | int, default: int) -> dict[str, Any]:
    types, freq = source.each("mlp_layer_types", str, source.layers()), source.data.get("moe_layer_freq")
    if types:
        return {
            "first_k_dense_replace": 0,
            "moe_layer_freq": frequency([kind != "dense" for kind in types[: source.layers()]]),
        }
    if isinstance(freq, list):
        marks = source.each("moe_layer_freq", int, source.layers())
        return {"moe_layer_freq": frequency([bool(mark) for mark in marks or [1]])}
    dense = source.integer(first, default, most=LAYERS) if isinstance(first, str) else first
    return {"first_k_dense_replace": dense, "moe_layer_freq": source.integer("moe_layer_freq", 1, minimum=1)}


def _groups(source: Source) -> dict[str, Any]:
    grouped = source.find("topk_method") != "greedy"
    return {key: source.integer(key, 1, minimum=1) if grouped else 1 for key in ("n_group", "topk_group")}


deepseek = listed()


def llama4(source: Source) -> dict[str, Any]:
    """`intermediate_size` is an expert's, the shared one's too; `intermediate_size_mlp` is a dense layer's."""
    layers, step = source.layers(), source.integer("interleave_moe_layer_step", 1, minimum=1)
    routed = source.places("moe_layers") or range(step - 1, layers, step)
    return {
        "num_experts": source.required("num_local_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("intermediate_size"),
        "intermediate_size": source.required("intermediate_size_mlp"),
        "num_shared_experts": 1,
        "moe_layer_freq": frequency([i in routed for i in range(layers)]),
    }


def softmax(source: Source) -> dict[str, Any]:
    """Mixtral and GPT-OSS: scores of the chosen experts add up to 1."""
    return {
        "router_aux_loss_coef": source.number("router_aux_loss_coef", 0.0),
        "router_jitter_noise": source.number("router_jitter_noise", 0.0),
    }


def qwen_router(source: Source) -> dict[str, Any]:
    return {**softmax(source), "norm_topk_prob": source.flag("norm_topk_prob", default=False)}


def gated_shared(source: Source) -> dict[str, Any]:
    """The shared expert has a gate of its own."""
    return {**qwen_router(source), "shared_expert_gate": True}


def deepseek_router(**defaults: Any) -> Part:
    """From V3 on experts are chosen by sigmoid scores with a bias; `topk_method` says so where it is written."""
    score, normed, factor = (
        defaults.get("scoring_func", "sigmoid"),
        defaults.get("norm_topk_prob", True),
        defaults.get("factor", 1.0),
    )

    def part(source: Source) -> dict[str, Any]:
        found = source.word("scoring_func", score, SCORES)
        method = source.word("topk_method", "greedy" if found == "softmax" else "noaux_tc")
        return {
            "scoring_func": found,
            "norm_topk_prob": source.flag("norm_topk_prob", default=normed),
            "routed_scaling_factor": source.number("routed_scaling_factor", factor),
            "use_routing_bias": method == "noaux_tc",
            "router_aux_loss_coef": source.number("aux_loss_alpha", 0.0),
            "seq_aux": source.flag("seq_aux", default=False),
        }

    return part


def minimax_router(source: Source) -> dict[str, Any]:
    return {
        "scoring_func": source.word("scoring_func", "sigmoid", SCORES),
        "use_routing_bias": source.flag("use_routing_bias", default=True),
        "router_aux_loss_coef": source.number("router_aux_loss_coef", 0.0),
    }


def llama4_router(source: Source) -> dict[str, Any]:
    """Sigmoid scores multiply what goes into an expert."""
    return {"scoring_func": "sigmoid", "norm_topk_prob": False, "scale_expert_inputs": True, **softmax(source)}
