"""Keys of a model, and of experts, that a plan leaves out where nothing is said of them."""

from __future__ import annotations

from typing import Any

NEWER = (
    *(
        "index_n_heads",
        "index_head_dim",
        "mlp_layer_types",
        "blocks",
        "norm_weights",
        "moe_latent_size",
        "zero_expert_num",
    ),
    *("other_params", "towers", "last"),
)
"""Keys that a plan leaves out where nothing is said of them, so that plans of models that need none of them stay what they were."""


def said(values: dict[str, Any]) -> dict[str, Any]:
    """Values without the newer keys that say nothing."""
    nothing = {"zero_expert_num": (0,)}
    return {
        key: value for key, value in values.items() if key not in NEWER or value not in nothing.get(key, (None, {}))
    }
