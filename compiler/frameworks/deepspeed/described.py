"""What a config.json says of routing and DeepSpeed's own MoE has no argument for; all else of a model is the program's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.checks import Check, rule
from compiler.frameworks.deepspeed import layout
from compiler.frameworks.deepspeed.layout import named
from compiler.frameworks.unsaid import unsaid
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    """AutoEP keeps the router of the model that it finds."""
    if config.model.moe and not layout.chosen(config).auto:
        yield from unsaid("deepspeed", f"{named(config)} moe/sharded_moe.py", _lost(config))


def _lost(config: Config) -> Iterator[tuple[str, Any, str]]:
    model = config.model
    if model.scoring_func != "softmax":
        yield "scoring_func", model.scoring_func, "gates are a softmax"
    if model.use_routing_bias:
        yield "use_routing_bias", "true", "experts are chosen by their gates alone"
    if model.n_group > 1:
        yield "n_group", model.n_group, "experts have no groups"
    if model.routed_scaling_factor != 1:
        yield "routed_scaling_factor", model.routed_scaling_factor, "gates are not scaled"
    if model.norm_topk_prob != (model.num_experts_per_tok > 1):
        yield (
            "norm_topk_prob",
            str(model.norm_topk_prob).lower(),
            "gates of two and more experts are divided by their sum",
        )
    if model.shared_size:
        yield "num_shared_experts", max(1, model.num_shared_experts), "use_residual mixes an MLP in by a learned share"
    if model.router_jitter_noise not in (0, 0.01):
        yield "router_jitter_noise", model.router_jitter_noise, "Jitter is of 0.01"
    if model.scale_expert_inputs:
        yield "scale_expert_inputs", "true", "gates multiply what comes out of experts"
