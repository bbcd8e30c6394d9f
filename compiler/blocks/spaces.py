"""State spaces and linear recurrences: a state for every channel or head."""

from __future__ import annotations

from compiler.blocks.block import Block, Matrix, Part, Parts
from compiler.blocks.recurrent import STATE_BYTES, convolved, inputs, joined, output
from compiler.blocks.sizes import Sizes, size
from compiler.frozen import dataclass
from compiler.specs.fields import between
from compiler.specs.limits import WIDTH


@dataclass(frozen=True)
class Mamba(Sizes):
    """Selective state space (2312.00752): `inner` channels with a state of `state_dim` each, and steps through `dt_rank` elements."""

    inner: int = size()
    state_dim: int = size()
    dt_rank: int = size()
    conv_kernel: int = between(1, WIDTH, 4)
    conv_bias: bool = True
    bias: bool = False
    inner_norms: bool = False

    def block(self) -> Block:
        each, steps = Part(self.inner), Part(1, self.dt_rank + 2 * self.state_dim)
        inside = self.inner_norms * (self.dt_rank + 2 * self.state_dim)
        biases: Parts = (each, each, Part(1, self.hidden)) if self.bias else ()
        return Block(
            kind="mamba",
            matrices=(
                joined(self.hidden, ("mamba.in_proj", "mixer.in_proj"), each, each),
                Matrix("attention", ("x_proj",), each, (steps,)),
                Matrix("attention", ("dt_proj",), Part(1, self.dt_rank), (each,)),
                output(self.hidden, each),
            ),
            others=(
                *convolved(self.conv_kernel, each, bias=self.conv_bias),
                Part(self.inner, self.state_dim + 2),
                *biases,
                self.beside(inside),
            ),
            state=(Part(self.inner, self.state_dim * STATE_BYTES), *inputs(self.conv_kernel, each)),
            scan=(Part(self.inner, 3 * self.state_dim),),
            kept=(each, each, each, each),
            values=(each,),
        )


@dataclass(frozen=True)
class Mamba2(Sizes):
    """State spaces with a decay a head (2405.21060): `heads` of `head_dim` channels, whose `groups` share inputs and outputs of the
    state. Groups that are fewer than tp ranks are copied (vLLM mamba_mixer2.py).
    """

    heads: int = size()
    head_dim: int = size()
    groups: int = between(1, WIDTH, 1)
    state_dim: int = size()
    conv_kernel: int = between(1, WIDTH, 4)
    conv_bias: bool = True
    bias: bool = False
    gated_norm: bool = True

    def block(self) -> Block:
        each, heads = Part(self.heads, self.head_dim), Part(self.heads)
        states = Part(self.groups, 2 * self.state_dim)
        columns = (each, each, states, heads)
        norm: Parts = (each,) if self.gated_norm else ()
        biases: Parts = (*columns, Part(1, self.hidden)) if self.bias else ()
        return Block(
            kind="mamba2",
            matrices=(joined(self.hidden, ("mamba.in_proj", "mixer.in_proj"), *columns), output(self.hidden, each)),
            others=(
                *convolved(self.conv_kernel, each, states, bias=self.conv_bias),
                Part(self.heads, 3),
                *norm,
                *biases,
                self.beside(),
            ),
            state=(
                Part(self.heads, self.head_dim * self.state_dim * STATE_BYTES),
                *inputs(self.conv_kernel, each, states),
            ),
            scan=(Part(self.heads, 3 * self.head_dim * self.state_dim),),
            convolved=(each, states),
            # the first product's output, the scan's, and what its norm puts out (mamba_split_conv1d_scan_combined)
            kept=(each, each, states, heads, each, each),
            values=(each,),
        )


@dataclass(frozen=True)
class GatedRecurrence(Sizes):
    """A linear recurrence an element with gates by blocks of heads, RG-LRU (2402.19427; RecurrentGemma)."""

    inner: int = size()
    heads: int = size()
    conv_kernel: int = between(1, WIDTH, 4)

    def block(self) -> Block:
        each, size = Part(self.inner), self.inner // max(1, self.heads)
        return Block(
            kind="recurrence",
            matrices=(
                joined(self.hidden, ("linear_x", "linear_y"), each, each),
                Matrix("attention", ("rg_lru",), Part(self.heads, size), (Part(1, 2 * size),)),
                output(self.hidden, each),
            ),
            others=(
                *convolved(self.conv_kernel, each, bias=True),
                Part(self.inner, 5),
                self.beside(self.hidden),
            ),
            state=(Part(self.inner, STATE_BYTES), *inputs(self.conv_kernel, each)),
            scan=(Part(self.inner, 3),),
            kept=(each, each, each, each),
            values=(each,),
        )
