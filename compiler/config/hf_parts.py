"""What the families of Hugging Face models share: typed look-ups in a `config.json`, and parts that read some of Model's fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.errors import Problem, short
from compiler.specs.limits import INT32, LAYERS


@dataclass(frozen=True)
class Source:
    """The file's object. Look-ups note what is missing or of a wrong type in `problems` and go on, so that all of it is told at once."""

    where: str
    family: str
    data: Mapping[str, Any]
    problems: list[Problem] = field(default_factory=list)

    def required(self, key: str, most: int = INT32) -> int:
        if self.data.get(key) is None:
            self._note(f"has no {key}, which model_type {self.family} needs", "take the model's own config.json")
            return 1
        return self.integer(key, 1, minimum=1, most=most)

    def layers(self, key: str = "num_hidden_layers") -> int:
        return self.required(key, LAYERS)

    def integer(self, key: str, default: int, minimum: int = 0, most: int = INT32) -> int:
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= most:
            above = isinstance(value, int) and value > most
            self._note(
                f"has {key}={short(repr(value))}",
                f"write at most {most}" if above else f"write a whole number, {minimum} or more",
            )
            return max(default, minimum)
        return value

    def positive(self, key: str) -> int | None:
        """The key's number, None where it is left out, null or 0."""
        return self.integer(key, 0) or None

    def number(self, key: str, default: float | None = None) -> float | None:
        """The key's number, the default where it is left out or null."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
            self._note(f"has {key}={short(repr(value))}", "write a number")
            return default
        return float(value)

    def word(self, key: str, default: str, options: tuple[str, ...] = ()) -> str:
        """The key's text, one of `options` where there are some."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or (options and value not in options):
            self._note(
                f"has {key}={short(repr(value))}", f"write one of {', '.join(options)}" if options else "write a text"
            )
            return default
        return value

    def mapping(self, *keys: str) -> Mapping[str, Any]:
        """The first of these keys that holds a mapping, else an empty one."""
        for key in keys:
            value = self.data.get(key)
            if isinstance(value, Mapping):
                return value
            if value is not None:
                self._note(f"has {key}={short(repr(value))}", "write a mapping")
        return {}

    def flag(self, key: str, default: bool) -> bool:
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._note(f"has {key}={short(repr(value))}", "write true or false")
        return bool(value)

    def entries(self, key: str, kind: type) -> list[Any] | None:
        """The key's list, None where it is left out or null."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, list) and len(value) > LAYERS:
            self._note(f"has {len(value)} entries in {key}", f"write at most {LAYERS}")
            return None
        if not isinstance(value, list) or not all(type(entry) is kind for entry in value):
            self._note(f"has {key}={short(repr(value))}", f"write a list of {kind.__name__} values")
            return None
        return value

    def _note(self, what: str, instead: str) -> None:
        self.problems.append(Problem(f"{self.where} {what}", instead))


Part = Callable[[Source], dict[str, Any]]


def decoder(source: Source) -> dict[str, Any]:
    keys = ("hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")
    found: dict[str, Any] = {"num_hidden_layers": source.layers(), **{key: source.required(key) for key in keys}}
    found |= {key: source.positive(key) for key in ("num_key_value_heads", "head_dim")}
    return found | {"tie_word_embeddings": source.flag("tie_word_embeddings", default=False)}


def gpt2(source: Source) -> dict[str, Any]:
    hidden = source.required("n_embd")
    return {
        "num_hidden_layers": source.layers("n_layer"),
        "hidden_size": hidden,
        "num_attention_heads": source.required("n_head"),
        "intermediate_size": source.positive("n_inner") or 4 * hidden,
        "vocab_size": source.required("vocab_size"),
        "tie_word_embeddings": source.flag("tie_word_embeddings", default=True),
        "gated_mlp": False,
    }


def window(source: Source) -> dict[str, Any]:
    """A sliding window on the layers that `layer_types` names, else on those from `max_window_layers` on."""
    size = source.positive("sliding_window")
    if size is None or not source.flag("use_sliding_window", default=True):
        return {}
    types, first = source.entries("layer_types", str), source.integer("max_window_layers", 0)
    if types is None and first:
        types = _kinds([i >= first for i in range(source.layers())])
    return {"sliding_window": size, "layer_types": types}


def alternating_window(source: Source) -> dict[str, Any]:
    """GPT-OSS: every other layer slides, the first one does, where the file does not say."""
    found = window(source)
    if found.get("sliding_window") and found["layer_types"] is None:
        found["layer_types"] = _kinds([i % 2 == 0 for i in range(source.layers())])
    return found


def chunked_attention(source: Source) -> dict[str, Any]:
    """Llama 4 attends within chunks, which keep no more than a window of that size, except on layers without RoPE (every fourth)."""
    size = source.positive("attention_chunk_size")
    if size is None:
        return {}
    layers, types = source.layers(), source.entries("layer_types", str)
    ropes = source.entries("no_rope_layers", int) or [(i + 1) % 4 for i in range(layers)]
    chunked = [kind == "chunked_attention" for kind in types] if types else [bool(rope) for rope in ropes]
    return {"sliding_window": size, "layer_types": _kinds(chunked)}


def latent_attention(source: Source) -> dict[str, Any]:
    keys = ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    found: dict[str, Any] = {key: source.required(key) for key in keys}
    return found | {"q_lora_rank": source.positive("q_lora_rank"), "head_dim": None}


def local_experts(source: Source) -> dict[str, Any]:
    """Every layer routes, and `intermediate_size` is an expert's."""
    return {
        "num_experts": source.required("num_local_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("intermediate_size"),
        "intermediate_size": 0,
        **_shared(source.positive("shared_intermediate_size")),
    }


def qwen_experts(source: Source) -> dict[str, Any]:
    step, dense = source.integer("decoder_sparse_step", 1, minimum=1), {*(source.entries("mlp_only_layers", int) or [])}
    routed = [i not in dense and (i + 1) % step == 0 for i in range(source.layers())]
    return {
        "num_experts": source.required("num_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "moe_layer_freq": _frequency(routed),
        **_shared(source.positive("shared_expert_intermediate_size")),
    }


def deepseek_experts(source: Source) -> dict[str, Any]:
    types = source.entries("mlp_layer_types", str)
    grouped = source.data.get("topk_method") != "greedy"
    return {
        "num_experts": source.required("n_routed_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "num_shared_experts": source.integer("n_shared_experts", 0),
        "first_k_dense_replace": source.integer("first_k_dense_replace", 0),
        "moe_layer_freq": _frequency([kind == "sparse" for kind in types])
        if types
        else source.integer("moe_layer_freq", 1, minimum=1),
        "n_group": source.integer("n_group", 1, minimum=1) if grouped else 1,
        "topk_group": source.integer("topk_group", 1, minimum=1) if grouped else 1,
        "num_nextn_predict_layers": source.integer("num_nextn_predict_layers", 0),
    }


def llama4_experts(source: Source) -> dict[str, Any]:
    """`intermediate_size` is an expert's, the shared one's too; `intermediate_size_mlp` is a dense layer's."""
    layers, step = source.layers(), source.integer("interleave_moe_layer_step", 1, minimum=1)
    routed = {*(source.entries("moe_layers", int) or range(step - 1, layers, step))}
    return {
        "num_experts": source.required("num_local_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("intermediate_size"),
        "intermediate_size": source.required("intermediate_size_mlp"),
        "num_shared_experts": 1,
        "moe_layer_freq": _frequency([i in routed for i in range(layers)]),
    }


def _kinds(sliding: list[bool]) -> list[str]:
    return ["sliding_attention" if slides else "full_attention" for slides in sliding]


def _frequency(routed: list[bool]) -> int | list[int]:
    """`moe_layer_freq`: 1 where every layer routes to experts, else an entry a layer."""
    return 1 if all(routed) else [int(entry) for entry in routed]


def _shared(size: int | None) -> dict[str, Any]:
    return {"num_shared_experts": 1, "shared_expert_intermediate_size": size} if size else {}
