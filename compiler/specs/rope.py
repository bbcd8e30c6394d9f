"""How positions are turned into rotations: `rope_scaling` of a `config.json`, which newer files call `rope_parameters`."""

from __future__ import annotations

from typing import Optional

from compiler.frozen import dataclass
from compiler.specs.fields import between, text
from compiler.specs.limits import TOKENS

_FACTOR = (0.0, 1e6)


@dataclass(frozen=True)
class RopeScaling:
    """Defaults are those of transformers' modeling_rope_utils.py."""

    rope_type: str = text("default", longest=64)
    """As transformers calls it; `default` where nothing is scaled."""
    factor: float = between(*_FACTOR, 1.0)
    """How much further positions reach."""
    original_max_position_embeddings: Optional[int] = between(1, TOKENS, None)
    """Positions before scaling."""
    low_freq_factor: float = between(*_FACTOR, 1.0)
    """Of Llama 3's scaling."""
    high_freq_factor: float = between(*_FACTOR, 4.0)
    """Of Llama 3's scaling."""
    beta_fast: float = between(*_FACTOR, 32.0)
    """Of YaRN."""
    beta_slow: float = between(*_FACTOR, 1.0)
    """Of YaRN."""
    mscale: Optional[float] = between(*_FACTOR, None)
    """Of YaRN, as DeepSeek writes it."""
    mscale_all_dim: Optional[float] = between(*_FACTOR, None)
    """Of YaRN, as DeepSeek writes it."""
    attention_factor: Optional[float] = between(*_FACTOR, None)
    """What scores are multiplied by; worked out of the others where it is null."""
    truncate: bool = True
    """Whether YaRN's bounds are whole numbers."""
