"""Parts of a file that read images or sound: their parameters, which no count of the language model includes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from compiler.frozen import dataclass
from compiler.specs.limits import LAYERS, WIDTH

PARTS = {"vision": ("vision_config", "visual_config", "vision_tower_config"), "audio": ("audio_config",)}

TYPICAL = 4e8
"""Parameters of a tower whose file says no sizes: SigLIP-SO400M, the most common one."""


@dataclass(frozen=True)
class Towers:
    """Parameters by part, and the parts whose sizes the file does not say."""

    params: dict[str, float] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


def towers(data: Mapping[str, Any]) -> Towers:
    """Of a file with a language model and other parts; one that names none has a usual tower."""
    inner = data.get("thinker_config")
    data = inner if isinstance(inner, Mapping) else data
    found = {part: next((data[key] for key in keys if data.get(key) is not None), None) for part, keys in PARTS.items()}
    described = {part: said for part, said in found.items() if isinstance(said, Mapping)} or {"vision": {}}
    sizes = {part: _encoder(said) for part, said in described.items()}
    assumed = tuple(part for part, count in sizes.items() if count is None)
    return Towers({part: TYPICAL if count is None else count for part, count in sizes.items()}, assumed)


def flat(data: Mapping[str, Any]) -> Towers:
    """Of a file whose language model stands beside the description of a tower."""
    return (
        towers(data) if any(isinstance(data.get(key), Mapping) for keys in PARTS.values() for key in keys) else Towers()
    )


def _encoder(said: Mapping[str, Any]) -> float | None:
    """A transformer's layers: four matrices of attention and two or three of an MLP, and the patches; None where sizes lack."""

    def first(*keys: str, most: int = WIDTH) -> int | None:
        values = (said.get(key) for key in keys)
        return next((value for value in values if type(value) is int and 0 < value <= most), None)

    depth = first("depth", "num_hidden_layers", "num_layers", "encoder_layers", "vt_num_hidden_layers", most=LAYERS)
    hidden = (
        first("embed_dim", "d_model", "vt_hidden_size")
        if "embed_dim" in said
        else first("hidden_size", "d_model", "vt_hidden_size")
    )
    if depth is None or hidden is None:
        return None
    ratio = said.get("mlp_ratio")
    scaled = int(ratio * hidden) if isinstance(ratio, (int, float)) and 0 < ratio < 64 else 4 * hidden
    width = first("intermediate_size", "encoder_ffn_dim", "vt_intermediate_size") or scaled
    gated = 3 if said.get("hidden_act") == "silu" else 2
    patch = (first("patch_size", most=1024) or 14) ** 2 * (first("temporal_patch_size", most=64) or 1) * 3 * hidden
    merge, out = (first("spatial_merge_size", most=64) or 1) ** 2, first("out_hidden_size")
    merger = merge * hidden * (merge * hidden + out) if out else 0
    if out and str(said.get("model_type")).startswith(
        "glm4v"
    ):  # blocks as wide as what it puts out, and an MLP at the end
        merger, width = merge * hidden * out + out**2 + 3 * out * width, out
    return float(depth * (4 * hidden**2 + gated * hidden * width) + patch + merger)
