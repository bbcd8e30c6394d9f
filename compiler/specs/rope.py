"""How positions are turned into rotations: `rope_scaling` of a `config.json`, which newer files call `rope_parameters`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from compiler.specs.fields import between, text
from compiler.specs.limits import TOKENS

_FACTOR = (0.0, 1e6)


@dataclass(frozen=True)
class RopeScaling:
    """`rope_type` as transformers calls it, `default` where nothing is scaled. Defaults are those of transformers' modeling_rope_utils.py; None: it works them out of the others."""

    rope_type: str = text("default", longest=64)
    factor: float = between(*_FACTOR, 1.0)
    original_max_position_embeddings: Optional[int] = between(1, TOKENS, None)
    low_freq_factor: float = between(*_FACTOR, 1.0)
    high_freq_factor: float = between(*_FACTOR, 4.0)
    beta_fast: float = between(*_FACTOR, 32.0)
    beta_slow: float = between(*_FACTOR, 1.0)
    mscale: Optional[float] = between(*_FACTOR, None)
    mscale_all_dim: Optional[float] = between(*_FACTOR, None)
    attention_factor: Optional[float] = between(*_FACTOR, None)
    truncate: bool = True
