"""Layers that are no attention with an MLP, as Megatron builds them: a pattern of single blocks, or a variant of attention.

Letters are those of `models/hybrid/hybrid_layer_allocation.py` (0.19.2): M Mamba-2, G gated delta, * attention, D latent with an
indexer, + latent, - MLP, E experts; | between stages, / before those of multi-token prediction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from compiler.blocks.block import Block
from compiler.blocks.kinds import KINDS
from compiler.blocks.stack import Stack, stack
from compiler.checks import Check, check, rule
from compiler.errors import ConfigError, Problem, short
from compiler.frameworks import told
from compiler.specs.config import Config
from compiler.specs.model import Model
from compiler.words import whole

Option = tuple[str, ...]

PATTERNS = ("--hybrid-layer-pattern", "--hybrid-override-pattern")
LETTERS = {
    "mamba2": "M",
    "gated_delta": "G",
    "attention": "*",
    "sparse_latent": "D",
    "latent": "+",
    "dense": "-",
    "routed": "E",
}
"""Kind of a block -> Megatron's letter."""

WORDS = {
    "M": ("mamba", "none"),
    "*": ("full_attention", "none"),
    "+": ("full_attention", "none"),
    "-": ("none", "dense"),
    "E": ("none", "sparse"),
}
"""Letter -> the words of a layer's mixer and of what follows; of those that the model's own keys, or Mamba's options, describe."""

MAMBA = {"--mamba-state-dim": 128, "--mamba-head-dim": 64, "--mamba-num-groups": 8}
"""Options of Mamba-2's sizes, and what they are by default (transformer_config.py)."""


def single(found: Stack) -> bool:
    """Whether every layer is one block, as a pattern has them."""
    return all(len(layer) == 1 for layer in found.layers)


def patterned(config: Config) -> bool:
    return single(stack(config.model))


OPTIONS = {
    "mamba2": ("state_dim", "head_dim", "groups", "heads", "conv_kernel"),
    "delta": ("conv_kernel", "key_dim", "value_dim", "key_heads", "value_heads"),
}
"""Sizes that options say, by kind."""


def options(model: Model) -> Iterator[Option]:
    """The pattern and the sizes of its blocks, or the variant of attention."""
    found = stack(model)
    mixers = {block.kind: block for layer in found.layers for block in layer if block.mixes}
    if single(found) and {block.kind for layer in found.layers for block in layer} <= set(LETTERS):
        yield PATTERNS[0], "".join(LETTERS[layer[0].kind] for layer in found.layers)
        if "mamba2" in mixers:
            yield from _mamba(model)
    elif "gated_delta" in mixers and set(mixers) <= {"gated_delta", "attention"}:
        yield from _delta(model, found)
    elif set(mixers) == {"sparse_latent"}:
        yield from _indexer(model)
    if any(said.get("gate") == "elements" for said in model.blocks.values()):
        yield ("--attention-output-gate",)


def _mamba(model: Model) -> Iterator[Option]:
    said = next(said for said in model.blocks.values() if said.get("kind") == "mamba2")
    names = {
        "state_dim": "--mamba-state-dim",
        "head_dim": "--mamba-head-dim",
        "groups": "--mamba-num-groups",
        "heads": "--mamba-num-heads",
    }
    yield from ((flag, str(said[key])) for key, flag in names.items() if said.get(key) is not None)


def _delta(model: Model, found: Stack) -> Iterator[Option]:
    """`--linear-attention-freq`: 1 marks a layer with linear attention."""
    said = next(said for said in model.blocks.values() if said.get("kind") == "delta")
    marks = [int(any(block.kind == "gated_delta" for block in layer)) for layer in found.layers]
    yield "--experimental-attention-variant", "gated_delta_net"
    yield "--linear-attention-freq", f"[{','.join(map(str, marks))}]"
    names = {
        "conv_kernel": "--linear-conv-kernel-dim",
        "key_dim": "--linear-key-head-dim",
        "value_dim": "--linear-value-head-dim",
        "key_heads": "--linear-num-key-heads",
        "value_heads": "--linear-num-value-heads",
    }
    yield from ((flag, str(said[key])) for key, flag in names.items() if said.get(key) is not None)


def _indexer(model: Model) -> Iterator[Option]:
    yield "--experimental-attention-variant", "dsa"
    yield "--dsa-indexer-n-heads", str(model.indexer[0])
    yield "--dsa-indexer-head-dim", str(model.indexer[1])
    yield "--dsa-indexer-topk", str(model.index_topk)


def lost(model: Model) -> Iterator[tuple[str, Any, str]]:
    """Key, value and why: kinds that Megatron builds in no way, or not beside each other."""
    found = stack(model)
    if any(block.again for layer in found.layers for block in layer):
        yield "blocks", "again", "every layer has weights of its own"
        return
    yield from _sizes_lost(model)
    if next(iter(options(model)), None) is not None:
        return
    kinds = {block.kind for layer in found.layers for block in layer}
    strange = sorted(kinds - {"attention", "latent", "dense", "routed"})
    if strange:
        yield (
            "blocks",
            ", ".join(strange),
            "it has Mamba-2, gated delta, latent attention and indexers, by a pattern or one variant",
        )
    elif any(len(layer) != 2 for layer in found.layers):
        yield "layer_types", "several blocks", "a layer is attention and one MLP or experts"


def _sizes_lost(model: Model) -> Iterator[tuple[str, Any, str]]:
    """Sizes of blocks that no option says, norms and weights beside the layers."""
    for word, given in model.blocks.items():
        kind = given.get("kind") or ("routed" if word == "sparse" else "dense" if word == "dense" else "attention")
        if kind not in (*OPTIONS, "attention", "latent", "dense", "routed"):
            continue  # told as a whole
        usual = {item.name: item.default for item in fields(KINDS[kind])}
        for key, value in given.items():
            if key not in (*OPTIONS.get(kind, ()), "kind", "gate") and value not in (None, usual.get(key)):
                yield f"blocks.{word}.{key}", value, f"blocks of kind {kind} have no such option"
    if model.norm_weights not in (None, 1 if model.rms_norm else 2):
        yield "norm_weights", model.norm_weights, "LayerNorm has a bias, RMSNorm has none"
    for name in model.other_params:
        if name != "positions" and model.other_params[name]:
            yield f"other_params.{name}", f"{model.other_params[name]:g}", "it has no such weights"


def told_pattern(config: Config) -> Config:
    """The model that a pattern in `framework.args` says; its other sizes are the model's own. Raises ConfigError."""
    given = {item.name: item.values for item in told.words(config.framework.args)}
    text = next((given[flag][0] for flag in PATTERNS if given.get(flag)), None)
    if text is None or patterned(config):
        return config
    main, _, predicted = text.partition("/")
    letters = main.replace("|", "")
    if not letters or set(letters) - set(WORDS):
        known = " ".join(WORDS)
        raise ConfigError(
            [
                Problem(
                    f"framework.args sets {PATTERNS[0]} {short(text)}, of which the plan knows {known}",
                    f"write letters of {known}, or the model's own blocks",
                )
            ]
        )
    mixers, feeds = zip(*(WORDS[letter] for letter in letters), strict=True)
    model = replace(
        config.model,
        num_hidden_layers=len(letters),
        layer_types=list(mixers),
        mlp_layer_types=list(feeds),
        num_nextn_predict_layers=len(predicted.split("/")) if predicted else 0,
        blocks={**config.model.blocks, "mamba": _sizes(config.model, given)},
    )
    return replace(config, model=model)


def _sizes(model: Model, given: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Mamba-2's, by Megatron's options; heads fill twice the hidden state."""

    def size(flag: str, usual: int) -> int:
        return (whole(given[flag][0]) if given.get(flag) else None) or usual

    state, head, groups = (size(flag, usual) for flag, usual in MAMBA.items())
    heads = size("--mamba-num-heads", max(1, 2 * model.hidden_size // head))
    return {"kind": "mamba2", "heads": heads, "head_dim": head, "groups": groups, "state_dim": state}


def said(config: Config) -> frozenset[str]:
    """Options of `framework.args` that the model was read from."""
    return frozenset({*PATTERNS, *MAMBA, "--mamba-num-heads"}) if patterned(config) else frozenset()


def counts(config: Config) -> Sequence[int] | None:
    """Layers of each stage where the pattern in `framework.args` has marks between them."""
    given = {item.name: item.values for item in told.words(config.framework.args)}
    text = next((given[flag][0] for flag in PATTERNS if given.get(flag)), "").partition("/")[0]
    return [len(segment) for segment in text.split("|")] if "|" in text else None


@rule
def declared(config: Config, source: str) -> Iterator[Check]:
    """How heads and groups are cut: an assertion of the mixer, or of the configuration."""
    degrees = config.degrees
    for block in dict.fromkeys(block for layer in stack(config.model).layers for block in layer):
        if block.kind == "mamba2":
            yield from _cut(block, degrees.tp, f"tp={degrees.tp}", f"{source} ssm/mamba_mixer.py")
        elif block.kind == "gated_delta":
            by = degrees.tp * degrees.cp
            yield from _cut(block, by, f"tp*cp={by}", f"{source} transformer_config.py")


def _cut(block: Block, by: int, degree: str, cited: str) -> Iterator[Check]:
    for pieces in dict.fromkeys(part.pieces for part in block.state):
        yield check(
            "megatron-state-heads",
            holds=pieces % by == 0,
            observed=f"{pieces} % {by} = {pieces % by}",
            limit="0",
            message=f"{cited} cuts {pieces} heads or groups of {block.kind} over {degree}",
            fix=f"write degrees whose product divides {pieces}",
        )
