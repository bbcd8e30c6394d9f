"""Kinds of feed-forward blocks: an MLP, and what a layer with routed experts has beside them. Experts are costed apart."""

from __future__ import annotations

from typing import Optional

from compiler.blocks.block import Block, Matrix, Part, Parts
from compiler.blocks.sizes import Sizes, size
from compiler.frozen import dataclass
from compiler.specs.fields import between
from compiler.specs.limits import EXPERTS, WIDTH


def _mlp(role: str, hidden: int, width: int, *, gated: bool) -> tuple[Matrix, ...]:
    """Gate and up as one product, and down."""
    if not width:
        return ()
    up = (Part(width),) * (1 + gated)
    return (
        Matrix(role, ("gate_proj", "up_proj"), Part(1, hidden), up),
        Matrix(role, ("down_proj",), Part(width), (Part(1, hidden),)),
    )


@dataclass(frozen=True)
class Dense(Sizes):
    """An MLP of `width`, gated or not. `inner_norm`: a norm over what its last product reads (BitNet)."""

    width: int = size()
    gated: bool = True
    bias: bool = False
    inner_norm: bool = False

    def block(self) -> Block:
        up = Part(self.width, 1 + self.gated)
        biases: Parts = (up, Part(1, self.hidden)) if self.bias else ()
        inner: Parts = (Part(self.width),) if self.inner_norm else ()
        return Block(
            kind="dense",
            matrices=_mlp("mlp", self.hidden, self.width, gated=self.gated),
            others=(*biases, *inner, self.beside()),
            width=self.width,
        )


@dataclass(frozen=True)
class Projection(Sizes):
    """A product of a hidden state of its own, to `width` elements, through `rank` of them where it is low."""

    width: int = size()
    rank: Optional[int] = between(1, WIDTH, None)

    def block(self) -> Block:
        hidden, out = Part(1, self.hidden), (Part(1, self.width),)
        down = () if self.rank is None else (Matrix("attention", ("linear",), hidden, (Part(1, self.rank),)),)
        up = Matrix("attention", ("linear",), hidden if self.rank is None else Part(1, self.rank), out)
        return Block(kind="projection", matrices=(*down, up), others=(self.beside(),))


@dataclass(frozen=True)
class Routed(Sizes):
    """The router of `experts` and of `zero_experts` that do nothing, shared experts of `shared_width` together with the gate that some
    have, and the products to and from a latent of `latent` elements that experts work in (Nemotron-3). All but shared experts
    are whole on every tp rank. `router_bias`: one of each expert that routing adds; `router_extra`: further weights of a router.
    """

    experts: int = between(0, EXPERTS, 0)
    zero_experts: int = between(0, EXPERTS, 0)
    shared_width: int = size(0)
    shared_gate: bool = False
    latent: Optional[int] = between(1, WIDTH, None)
    gated: bool = True
    bias: bool = False

    def block(self) -> Block:
        count, hidden = self.experts + self.zero_experts, Part(1, self.hidden)
        router = Matrix("router", ("gate", "router"), hidden, (Part(1, count + self.shared_gate),))
        up = Part(self.shared_width, 1 + self.gated)
        biases: Parts = (up, Part(1, count + self.hidden * bool(self.shared_width))) if self.bias else ()
        return Block(
            kind="routed",
            matrices=(
                *_mlp("shared_experts", self.hidden, self.shared_width, gated=self.gated),
                router,
                *self._latents(),
            ),
            others=(*biases, self.beside()),
            routed=True,
            width=self.shared_width,
        )

    def _latents(self) -> tuple[Matrix, ...]:
        if self.latent is None:
            return ()
        latent, hidden = Part(1, self.latent), Part(1, self.hidden)
        return (
            Matrix("shared_experts", ("fc1_latent_proj",), hidden, (latent,)),
            Matrix("shared_experts", ("fc2_latent_proj",), latent, (hidden,)),
        )
