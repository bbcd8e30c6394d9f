"""How wide weights are, class by class, and what their products are computed in."""

from __future__ import annotations

from dataclasses import fields, replace

from compiler.costs.constants import ACTIVATION_BYTES, STATE_BYTES
from compiler.frozen import dataclass
from compiler.specs.model import BYTES, Model
from compiler.specs.workload import Workload

ELEMENT_BYTES = {**BYTES, "int8": 1.0}
"""Of everything that a product may be computed in."""


@dataclass(frozen=True)
class Widths:
    """Something of each class of weights: bytes of one, or 1 where they are counted. `rest`: routers and norms."""

    embedding: float
    head: float
    attention: float
    mlp: float
    shared_experts: float
    experts: float
    rest: float


MATRICES = ("attention", "mlp", "shared_experts", "experts")
"""Classes of weights whose products are computed in a precision of their own."""


def alike(value: float) -> Widths:
    return Widths(**{item.name: value for item in fields(Widths)})


COUNT = alike(1.0)


def widths(model: Model, workload: Workload) -> Widths:
    """Bytes of a weight as it is kept for the forward pass. Training keeps weights as wide as activations, or its matrices
    narrower (Megatron's --fp8-param-gather); not the embedding and the head.
    """
    if workload.train:
        wide = alike(ACTIVATION_BYTES[workload.precision])
        narrow = workload.states.weights
        return replace(wide, **dict.fromkeys(MATRICES, STATE_BYTES[narrow])) if narrow else wide
    if not model.keeps_quantization(workload.precision):
        return alike(BYTES[workload.precision])
    own = {kind: form.width for kind, form in model.stored.items()}
    found = {item.name: own.get(item.name, BYTES[model.wide(workload.precision)]) for item in fields(Widths)}
    return Widths(**found | ({"head": found["embedding"]} if model.tie_word_embeddings else {}))


def products(model: Model, workload: Workload, kind: str) -> str:
    """What products of a class of weights (`router` among them) are computed in, where the GPU has units for it."""
    if not workload.train and model.keeps_quantization(workload.precision):
        form = model.stored.get(kind)
        return form.activations if form and form.activations else model.wide(workload.precision)
    return str(workload.precision) if kind in MATRICES else model.wide(workload.precision, train=workload.train)
