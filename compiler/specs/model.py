"""The model, as a list of layers of blocks: what follows from its keys."""

from __future__ import annotations

import math
from typing import Optional

from compiler.frozen import dataclass
from compiler.specs.model_keys import BYTES, Declared, ModelKeys
from compiler.specs.weights import WIDE, Stored

__all__ = ["BYTES", "Declared", "Model"]


@dataclass(frozen=True)
class Model(ModelKeys):
    """A decoder-only model: a list of layers, by default of grouped-query or latent attention (MLA) and an MLP or experts."""

    @property
    def stored(self) -> dict[str, Stored]:
        """Quantised classes of weights, and how each is stored."""
        return self.quantization.weights if self.quantization.method is not None else {}

    @property
    def precision(self) -> str:
        """What a server of this checkpoint computes most of its products in: by its activations, else wide ones."""
        chosen = (self.stored[kind].activations for kind in ("experts", "mlp", "attention") if kind in self.stored)
        found = next(chosen, None)
        return found if found in BYTES else self.dtype

    def keeps_quantization(self, precision: str) -> bool:
        """Whether weights are as this checkpoint stores them where that precision is asked for: its own, or wide activations.

        Another narrow one is of another checkpoint of the model. FP4 has several formats, of which a checkpoint has one.
        """
        fp4 = precision == "fp4" and any("fp4" in form.scheme for form in self.stored.values())
        return bool(self.stored) and (fp4 or precision == self.precision or precision in WIDE)

    def wide(self, precision: str, *, train: bool = False) -> str:
        """Precision of activations, of the attention core, and of a quantised checkpoint's other weights: the plan's own where that
        is wide, else the model's; FP8 and FP4 recipes of training keep BF16.
        """
        return next((name for name in (precision, "bf16" if train else self.dtype) if name in WIDE), "bf16")

    @property
    def moe(self) -> bool:
        return self.num_experts > 0

    @property
    def mla(self) -> bool:
        return self.kv_lora_rank is not None

    @property
    def kv_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def indexer(self) -> tuple[int, int]:
        """Heads of an indexer and the width of its keys; those of DeepSeek-V3.2, 64 of 128, where the model does not say
        (`config.json`: index_n_heads, index_head_dim).
        """
        return self.index_n_heads or 64, self.index_head_dim or 128

    @property
    def activation(self) -> str:
        """Of MLPs: SiLU where they are gated and nothing else is said, GELU where they are not."""
        return self.hidden_act or ("silu" if self.gated_mlp else "gelu")

    @property
    def rms_norm(self) -> bool:
        return self.rms_norm_eps is not None or (self.layer_norm_epsilon is None and self.gated_mlp)

    @property
    def norm_epsilon(self) -> float:
        """What is added under the root of a norm; 1e-5, which most have, where nothing is said."""
        said = self.rms_norm_eps if self.rms_norm_eps is not None else self.layer_norm_epsilon
        return 1e-5 if said is None else said

    @property
    def scaled_rope(self) -> bool:
        return self.rope_scaling.rope_type != "default"

    @property
    def expert_size(self) -> int:
        """Hidden width of one routed expert."""
        return self.moe_intermediate_size or self.intermediate_size

    @property
    def routed_experts_per_tok(self) -> float:
        """Experts that a token is sent to, on average: those that do nothing are none."""
        return self.num_experts_per_tok * self.num_experts / max(1, self.num_experts + self.zero_expert_num)

    @property
    def expert_hidden(self) -> int:
        """Width of what a routed expert reads and writes."""
        return self.moe_latent_size or self.hidden_size

    @property
    def shared_size(self) -> int:
        """Hidden width of all shared experts of a layer together."""
        return self.shared_expert_intermediate_size or self.num_shared_experts * self.expert_size

    @property
    def streams(self) -> int:
        """Hidden states that run side by side (hyper-connections): n of them are made and joined by n^2 h + n + 1 weights."""
        return max(1, math.isqrt(int(self.other_params.get("streams", 0.0) / self.hidden_size)))

    @property
    def moe_layers(self) -> tuple[bool, ...]:
        """Which layers route to experts, one entry a layer; `moe_layer_freq` is a period or such a list."""
        if self.mlp_layer_types is not None:
            return tuple(self.moe and "sparse" in word.split("+") for word in self.mlp_layer_types)
        return self._routed

    @property
    def _routed(self) -> tuple[bool, ...]:
        layers, freq = range(self.num_hidden_layers), self.moe_layer_freq
        if isinstance(freq, (list, tuple)):
            return tuple(self.moe and bool(freq[i]) for i in layers)
        return tuple(self.moe and i >= self.first_k_dense_replace and i % freq == 0 for i in layers)

    @property
    def feed_words(self) -> tuple[str, ...]:
        """What follows the mixer of each layer, in the words of `mlp_layer_types`."""
        if self.mlp_layer_types is not None:
            return tuple(self.mlp_layer_types)
        return tuple("sparse" if moe else "dense" for moe in self._routed)

    @property
    def mixer_words(self) -> tuple[str, ...]:
        """What mixes the tokens of each layer, in the words of `layer_types`."""
        usual = "full_attention" if self.sliding_window is None else "sliding_attention"
        return tuple(self.layer_types or [usual] * self.num_hidden_layers)

    @property
    def norm_width(self) -> int:
        """Weights of a norm for each element of a hidden state."""
        if self.norm_weights is not None:
            return self.norm_weights
        return 1 if self.layer_norm_epsilon is None else 2

    @property
    def windows(self) -> tuple[Optional[int], ...]:
        """Attention window of each layer in tokens; None is full attention."""
        if self.sliding_window is None:
            return (None,) * self.num_hidden_layers
        slides = ("sliding_attention", "chunked_attention")
        return tuple(self.sliding_window if kind.startswith(slides) else None for kind in self.mixer_words)
