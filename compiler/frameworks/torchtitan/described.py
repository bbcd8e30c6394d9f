"""What the model's own file says, against what the registered config builds: a config has no options for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

from compiler.checks import Check, rule
from compiler.frameworks.torchtitan.arguments import known_model
from compiler.frameworks.unsaid import unsaid
from compiler.frameworks.versions import version
from compiler.specs.config import Config

USUAL: Mapping[str, Any] = {
    "rope_scaling.rope_type": "default",
    "rope_scaling.factor": 1.0,
    "tie_word_embeddings": False,
    "use_qk_norm": False,
    "attention_sinks": False,
    "attention_bias": False,
    "qkv_bias": False,
    "mlp_bias": False,
    "activation": "silu",
    "swiglu_limit": None,
    "scoring_func": "softmax",
    "norm_topk_prob": True,
    "routed_scaling_factor": 1.0,
    "n_group": 1,
    "topk_group": 1,
    "partial_rotary_factor": 1.0,
    "position_embedding_type": "rope",
    "index_topk": None,
    "attention_dropout": 0.0,
    "hidden_dropout": 0.0,
    "router_aux_loss_coef": 0.0,
    "router_jitter_noise": 0.0,
}
"""Key of the model -> what every registered config has, but for those of its module and its own (`versions.yaml`)."""

ROUTING = {"scoring_func", "norm_topk_prob", "routed_scaling_factor", "router_aux_loss_coef", "router_jitter_noise"}
NAMES = {"norm_epsilon": "rms_norm_eps", "activation": "hidden_act"}
"""What a value is worked out from, where it is no key itself."""


@rule
def declared(config: Config) -> Iterator[Check]:
    row = known_model(config)
    if row is not None:
        lost = _differing(config, row)
        yield from unsaid("torchtitan", f"torchtitan 0.3 models/{row['module']}/__init__.py", lost)


def _differing(config: Config, row: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Key, the model's value, and what the config has in its place."""
    modules: Mapping[str, Mapping[str, Any]] = version(config).facts["modules"]
    built = {**USUAL, **modules[row["module"]], **row.get("says", {})}
    for key, value in built.items():
        said = attrgetter(key)(config.model)
        if said != value and (config.model.moe or key not in ROUTING):
            yield NAMES.get(key, key), said, f"{row['config']} has {value}"
