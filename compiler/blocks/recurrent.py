"""Kinds that keep a state of fixed size instead of keys and values: linear attention, state spaces, short convolutions.

States are in FP32 and convolutions keep their last inputs in BF16, as transformers' caches and vLLM's do (vLLM 0.33,
model_executor/layers/mamba/mamba_utils.py). Heads are dealt out to tp ranks, and so are their states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from compiler.blocks.block import Block, Matrix, Part, Parts
from compiler.specs.fields import between
from compiler.specs.limits import PARAMETERS, WIDTH

STATE_BYTES, INPUT_BYTES = 4.0, 2.0


def _size(default: Optional[int] = None) -> int:
    found: int = between(0, WIDTH, default)
    return found


def joined(hidden: int, names: tuple[str, ...], *columns: Part) -> Matrix:
    return Matrix("attention", names, Part(1, hidden), columns)


def output(hidden: int, rows: Part) -> Matrix:
    return Matrix("attention", ("out_proj", "o_proj"), rows, (Part(1, hidden),))


def convolved(kernel: int, *channels: Part, bias: bool = False) -> Parts:
    return tuple(Part(part.pieces, part.width * (kernel + bias)) for part in channels)


def inputs(kernel: int, *channels: Part) -> Parts:
    """Bytes of the last inputs of a convolution."""
    return tuple(Part(part.pieces, part.width * kernel * INPUT_BYTES) for part in channels)


@dataclass(frozen=True)
class Delta:
    """Gated delta rule (2412.06464; Qwen3-Next, OLMo Hybrid): a state of key_dim x value_dim for each head of values, which decays
    by a gate a head. `fine`: a gate an element of the key instead (Kimi Delta Attention, 2510.26692), from `gate_rank` elements
    where it goes through so few.
    """

    hidden: int = _size()
    key_heads: int = _size()
    value_heads: int = _size()
    key_dim: int = _size()
    value_dim: int = _size()
    conv_kernel: int = between(0, WIDTH, 4)
    fine: bool = False
    gate_rank: Optional[int] = between(1, WIDTH, None)
    norms: int = between(0, 8, 1)
    norm_weights: int = between(0, 2, 1)
    extra: float = between(0, PARAMETERS, 0)

    def block(self) -> Block:
        keys, values = Part(self.key_heads, self.key_dim), Part(self.value_heads, self.value_dim)
        heads, channels = Part(self.value_heads), (keys, keys, values)
        decays = keys if self.fine else heads
        state = self.key_dim * self.value_dim
        return Block(
            kind="kimi_delta" if self.fine else "gated_delta",
            matrices=(
                joined(self.hidden, ("in_proj_qkv", "q_proj", "k_proj", "v_proj", "in_proj_qkvz"), *channels),
                *self._gates(values),
                output(self.hidden, values),
            ),
            others=(
                *convolved(self.conv_kernel, *channels),
                heads,
                decays,
                Part(1, self.value_dim + self.norms * self.norm_weights * self.hidden + self.extra),
            ),
            state=(Part(self.value_heads, state * STATE_BYTES), *inputs(self.conv_kernel, *channels)),
            scan=(Part(self.value_heads, 4 * state),),
            kept=(*channels, values, values),
            values=(values,),
        )

    def _gates(self, values: Part) -> tuple[Matrix, ...]:
        """How fast the state decays, how much is written to it, and the gate of the output."""
        heads, keys = Part(self.value_heads), Part(self.key_heads, self.key_dim)
        if not self.fine:
            return (joined(self.hidden, ("in_proj_ba", "in_proj_b", "in_proj_a", "in_proj_z"), heads, heads, values),)
        if self.gate_rank is None:
            return (joined(self.hidden, ("f_proj", "b_proj", "g_proj"), keys, heads, values),)
        rank = Part(1, self.gate_rank)
        down = joined(self.hidden, ("f_a_proj", "g_a_proj", "b_proj"), rank, rank, heads)
        return (
            down,
            Matrix("attention", ("f_b_proj",), rank, (keys,)),
            Matrix("attention", ("g_b_proj",), rank, (values,)),
        )


@dataclass(frozen=True)
class Lightning:
    """Linear attention with a fixed decay a head and a gate of the output (2405.17381; MiniMax-01 and Ling's linear models)."""

    hidden: int = _size()
    heads: int = _size()
    head_dim: int = _size()
    norms: int = between(0, 8, 1)
    norm_weights: int = between(0, 2, 1)
    extra: float = between(0, PARAMETERS, 0)

    def block(self) -> Block:
        each, state = Part(self.heads, self.head_dim), self.head_dim**2
        return Block(
            kind="lightning",
            matrices=(
                joined(self.hidden, ("qkv_proj", "query_key_value"), each, each, each),
                joined(self.hidden, ("output_gate", "g_proj"), each),
                output(self.hidden, each),
            ),
            others=(each, Part(1, self.norms * self.norm_weights * self.hidden + self.extra)),
            state=(Part(self.heads, state * STATE_BYTES),),
            scan=(Part(self.heads, 2 * state),),
            kept=(each, each, each, each, each),
            values=(each,),
        )


@dataclass(frozen=True)
class Convolution:
    """A gated convolution over the last few tokens (LFM2)."""

    hidden: int = _size()
    conv_kernel: int = between(1, WIDTH, 3)
    bias: bool = False
    norms: int = between(0, 8, 1)
    norm_weights: int = between(0, 2, 1)
    extra: float = between(0, PARAMETERS, 0)

    def block(self) -> Block:
        each = Part(self.hidden)
        biases: Parts = (each, each, each, Part(1, self.hidden)) if self.bias else ()
        return Block(
            kind="short_conv",
            matrices=(joined(self.hidden, ("conv.in_proj",), each, each, each), output(self.hidden, each)),
            others=(
                *convolved(self.conv_kernel, each, bias=self.bias),
                *biases,
                Part(1, self.norms * self.norm_weights * self.hidden + self.extra),
            ),
            state=inputs(self.conv_kernel, each),
            scan=(Part(self.hidden, self.conv_kernel),),
            kept=(each, each, each, each),
            values=(each,),
        )
