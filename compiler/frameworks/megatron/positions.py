"""Positions as Megatron's arguments: what rotates, how far, and how it is stretched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.blocks.stack import stack
from compiler.frameworks.megatron.patterns import pattern
from compiler.frameworks.megatron.pipeline import Option
from compiler.frameworks.versions import version
from compiler.specs.config import Config
from compiler.specs.model import Model
from compiler.specs.rope import RopeScaling

LLAMA3: dict[str, Any] = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
LATENT_YARN: dict[str, Any] = {
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 4096,
    "truncate": True,
}
"""What Megatron has no option for: of --use-rope-scaling, and of the YaRN of latent attention."""


def latent(model: Model) -> bool:
    """Attention that is made of latents, and scales its rotation itself: MLA, and the compressed attention of DeepSeek-V4."""
    return model.mla or any(block.kind == "compressed" for layer in stack(model).layers for block in layer)


def kind(config: Config) -> str:
    """What --position-embedding-type says; latent attention has its own scaling, below RoPE."""
    model = config.model
    if model.position_embedding_type != "rope":
        return {"absolute": "learned_absolute"}.get(model.position_embedding_type, model.position_embedding_type)
    yarn = model.rope_scaling.rope_type == "yarn" and not latent(model) and yarn_options(config)
    return "yarn" if yarn else "rope"


def options(config: Config) -> Iterator[Option]:
    model = config.model
    yield "--position-embedding-type", kind(config)
    if model.position_embedding_type != "rope":
        return
    yield "--rotary-base", str(round(model.rope_theta))
    if latent(model):
        yield from _latent(model.rope_scaling)
        return
    if model.partial_rotary_factor != 1:
        yield "--rotary-percent", f"{model.partial_rotary_factor:g}"
    if model.no_rope_layers is not None:
        yield "--no-rope-freq", pattern([1 - rotates for rotates in model.no_rope_layers])
    yield from _scaled(config)


def yarn_options(config: Config) -> bool:
    """Whether Megatron's parser has YaRN for attention that is not latent."""
    return bool(version(config).facts["yarn"])


def _latent(scaling: RopeScaling) -> Iterator[Option]:
    """With a factor of 1 YaRN is RoPE as it is, and the only one of the two with a fused kernel."""
    yarn = scaling.rope_type == "yarn"
    yield "--rope-type", "yarn"
    yield "--rotary-scaling-factor", f"{scaling.factor if yarn else 1:g}"
    if yarn:
        yield from _concentration(scaling)


def _concentration(scaling: RopeScaling) -> Iterator[Option]:
    yield "--mscale", f"{1.0 if scaling.mscale is None else scaling.mscale:g}"
    yield "--mscale-all-dim", f"{scaling.mscale_all_dim or 0.0:g}"


def _scaled(config: Config) -> Iterator[Option]:
    scaling = config.model.rope_scaling
    if scaling.rope_type == "llama3":
        yield ("--use-rope-scaling",)
        yield "--rope-scaling-factor", f"{scaling.factor:g}"
    if scaling.rope_type == "linear":
        yield "--rotary-seq-len-interpolation-factor", str(round(scaling.factor))
    if scaling.rope_type == "yarn" and yarn_options(config):
        yield "--rotary-scaling-factor", f"{scaling.factor:g}"
        if scaling.original_max_position_embeddings is not None:
            yield "--yarn-original-max-position-embeddings", str(scaling.original_max_position_embeddings)
        yield "--yarn-beta-fast", f"{scaling.beta_fast:g}"
        yield "--yarn-beta-slow", f"{scaling.beta_slow:g}"
        yield from _concentration(scaling)
        if not scaling.truncate:
            yield ("--no-yarn-correction-range-round-to-int",)


def unsaid(config: Config) -> Iterator[tuple[str, Any, str]]:
    """Key, value and why it gets lost: what the file says of positions and Megatron has no option for."""
    model, scaling = config.model, config.model.rope_scaling
    if model.position_embedding_type != "rope":
        return
    if model.rope_theta != round(model.rope_theta):
        yield "rope_theta", model.rope_theta, "--rotary-base takes whole numbers"
    known = ("default", "yarn") if model.mla else ("default", "yarn", "llama3", "linear")
    if scaling.rope_type not in known:
        yield "rope_scaling.rope_type", scaling.rope_type, f"it knows {', '.join(known)}, and rotates without scaling"
    if scaling.rope_type == "yarn" and not model.mla and not yarn_options(config):
        yield "rope_scaling.rope_type", "yarn", "--yarn-* came with 0.19, and it rotates without scaling"
    if scaling.rope_type == "linear" and scaling.factor != round(scaling.factor):
        yield "rope_scaling.factor", scaling.factor, "--rotary-seq-len-interpolation-factor takes whole numbers"
    if scaling.attention_factor is not None:
        yield "rope_scaling.attention_factor", scaling.attention_factor, "it works the factor out of --mscale"
    for key, value in _fixed(model).items():
        said = getattr(scaling, key)
        if said is not None and said != value:
            yield f"rope_scaling.{key}", said, f"its own {value:g} has no option"
    if _factor_is_lost(config, model):
        yield (
            "rope_scaling.factor",
            scaling.factor,
            "gpt_config_from_args of training/argument_utils.py leaves --rope-scaling-factor out, and 8 stays",
        )


def _fixed(model: Model) -> dict[str, Any]:
    """Numbers of a model's scaling that are Megatron's whatever is asked."""
    kind = model.rope_scaling.rope_type
    if model.mla:
        return LATENT_YARN if kind == "yarn" else {}
    return LLAMA3 if kind == "llama3" else {}


def _factor_is_lost(config: Config, model: Model) -> bool:
    scaling, lost = model.rope_scaling, bool(version(config).facts["loses_rope_factor"])
    return lost and not model.mla and scaling.rope_type == "llama3" and scaling.factor != 8
