"""Kinds that keep a state of fixed size instead of keys and values: linear attention, state spaces, short convolutions.

States are in FP32 and convolutions keep their last inputs in BF16, as transformers' caches and vLLM's do (vLLM 0.33,
model_executor/layers/mamba/mamba_utils.py). Heads are dealt out to tp ranks, and so are their states.
"""

from __future__ import annotations

from typing import Optional

from compiler.blocks.block import Block, Matrix, Part, Parts
from compiler.blocks.sizes import Sizes, size
from compiler.frozen import dataclass
from compiler.specs.fields import between
from compiler.specs.limits import WIDTH

STATE_BYTES, INPUT_BYTES = 4.0, 2.0

CHUNK = 64
"""Tokens of a chunk of the delta rule, and elements of its triangle for each."""


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
class Delta(Sizes):
    """Gated delta rule (2412.06464; Qwen3-Next, OLMo Hybrid): a state of key_dim x value_dim for each head of values, which decays
    by a gate a head. `fine`: a gate an element of the key instead (Kimi Delta Attention, 2510.26692), from `gate_rank` elements
    where it goes through so few.
    """

    key_heads: int = size()
    value_heads: int = size()
    key_dim: int = size()
    value_dim: int = size()
    conv_kernel: int = between(0, WIDTH, 4)
    fine: bool = False
    gate_rank: Optional[int] = between(1, WIDTH, None)

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
                self.beside(self.value_dim),
            ),
            state=(Part(self.value_heads, state * STATE_BYTES), *inputs(self.conv_kernel, *channels)),
            scan=(Part(self.value_heads, 4 * state),),
            convolved=channels,
            kept=self._kept(values),
            values=(values,),
        )

    def _kept(self, values: Part) -> Parts:
        """What the first products put out; queries and keys before their norm; both as many as heads of values, values, gates and a
        triangle of a chunk as its kernel reads them; what it puts out, its norm, and the last product's input (Megatron-LM 0.19.2
        ssm/gated_delta_net/gdn.py, fla's chunk_gated_delta_rule).
        """
        keys, heads = Part(self.key_heads, self.key_dim), Part(self.value_heads)
        repeated, triangle = Part(self.value_heads, self.key_dim), Part(self.value_heads, CHUNK)
        first = (keys, keys, values, values, heads, heads)
        return (*first, keys, keys, repeated, repeated, values, values, triangle, values, values, values)

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
class Lightning(Sizes):
    """Linear attention with a fixed decay a head and a gate of the output (2405.17381; MiniMax-01 and Ling's linear models)."""

    heads: int = size()
    head_dim: int = size()

    def block(self) -> Block:
        each, state = Part(self.heads, self.head_dim), self.head_dim**2
        return Block(
            kind="lightning",
            matrices=(
                joined(self.hidden, ("qkv_proj", "query_key_value"), each, each, each),
                joined(self.hidden, ("output_gate", "g_proj"), each),
                output(self.hidden, each),
            ),
            others=(each, self.beside()),
            state=(Part(self.heads, state * STATE_BYTES),),
            scan=(Part(self.heads, 2 * state),),
            kept=(each, each, each, each, each),
            values=(each,),
        )


@dataclass(frozen=True)
class Convolution(Sizes):
    """A gated convolution over the last few tokens (LFM2)."""

    conv_kernel: int = between(1, WIDTH, 3)
    bias: bool = False

    def block(self) -> Block:
        each = Part(self.hidden)
        biases: Parts = (each, each, each, Part(1, self.hidden)) if self.bias else ()
        return Block(
            kind="short_conv",
            matrices=(joined(self.hidden, ("conv.in_proj",), each, each, each), output(self.hidden, each)),
            others=(
                *convolved(self.conv_kernel, each, bias=self.bias),
                *biases,
                self.beside(),
            ),
            state=inputs(self.conv_kernel, each),
            scan=(Part(self.hidden, self.conv_kernel),),
            kept=(each, each, each, each),
            values=(each,),
        )
