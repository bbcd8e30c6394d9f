"""The layers of each stage as `framework.args` say them to Megatron: by a layout, by odd ends, or with the ends counted as layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.checks import Check, check, rule
from compiler.frameworks.megatron import layout_string
from compiler.frameworks.megatron.options import given, number, source
from compiler.specs.config import Config

LAYOUT = "--pipeline-model-parallel-layout"
FIRST, LAST = "--decoder-first-pipeline-num-layers", "--decoder-last-pipeline-num-layers"
EMBEDDING, LOSS = "--account-for-embedding-in-pipeline-split", "--account-for-loss-in-pipeline-split"


def counts(config: Config) -> Sequence[int] | None:
    """Layers of each virtual stage; None where no argument says them, or they do not divide. Raises ConfigError for a bad layout."""
    said, degrees = given(config), config.degrees
    if LAYOUT in said:
        return [stage.count("t") for stage in _layout(config)]
    if FIRST in said or LAST in said:
        return _ends(config)
    if EMBEDDING in said or LOSS in said:
        return _with_ends(config.model.num_hidden_layers, degrees.pp * degrees.vpp, EMBEDDING in said, LOSS in said)
    return None


def _layout(config: Config) -> tuple[str, ...]:
    return layout_string.parts("".join(given(config)[LAYOUT]))


def _ends(config: Config) -> Sequence[int] | None:
    """Layers of the first and the last stage; those between share the rest evenly, and so do the chunks of each stage."""
    pp, vpp, said = config.degrees.pp, config.degrees.vpp, given(config)
    ends = {at: number(config, flag, 1) for at, flag in ((0, FIRST), (pp - 1, LAST)) if flag in said}
    rest, among = config.model.num_hidden_layers - sum(ends.values()), pp - len(ends)
    if rest < 0 or bool(rest) != bool(among) or (among and rest % among) or (pp == 1 and said.keys() >= {FIRST, LAST}):
        return None
    stages = [ends.get(stage, rest // max(among, 1)) for stage in range(pp)]
    return [count // vpp for count in stages] * vpp if all(count % vpp == 0 for count in stages) else None


def _with_ends(layers: int, parts: int, embedding: bool, loss: bool) -> Sequence[int] | None:
    """Layers dealt out evenly, with the embedding and the loss counted among them."""
    each, rest = divmod(layers + embedding + loss, parts)
    if rest or each < 1:
        return None
    found = [each] * parts
    found[0] -= embedding
    found[-1] -= loss
    return found if min(found) >= 0 else None


def mtp_stage(config: Config) -> int:
    """The virtual stage that holds the MTP layers; -1, the last, unless a layout says otherwise."""
    if LAYOUT not in given(config):
        return -1
    stages = _layout(config)
    return next((at for at, stage in enumerate(stages) if "m" in stage), len(stages) - 1) - len(stages)


@rule
def declared(config: Config) -> Iterator[Check]:
    """What Megatron refuses of them: two ways at once, a layout that breaks its order, ends that do not divide."""
    said, degrees = given(config), config.degrees
    ways = [way for way in ((LAYOUT,), (FIRST, LAST), (EMBEDDING, LOSS)) if said.keys() & set(way)]
    if not ways:
        return
    flags = sorted(said.keys() & {flag for way in ways for flag in way})
    yield check(
        "megatron-stage-arguments",
        holds=len(ways) == 1,
        observed=" ".join(flags),
        limit="one way",
        message=f"{source(config, 'transformer_config.py')} takes the layers of stages in one way alone, and framework.args have {' and '.join(flags)}",
        fix=f"leave {flags[0]} out",
    )
    if len(ways) == 1 and LAYOUT not in said:
        yield _dealt(config, flags)
    if LAYOUT in said:
        stages, mtp = _layout(config), config.model.num_nextn_predict_layers
        wrong = [*layout_string.troubles(stages, degrees.pp, mtp), *_tied(config)]
        yield check(
            "megatron-layout",
            holds=not wrong,
            observed=f"{len(stages)} stages",
            limit="E first, t, m, L last",
            message=f"{LAYOUT}: {source(config, 'pipeline_parallel_layer_layout.py')} wants that {'; that '.join(wrong)}",
            fix=f"leave {LAYOUT} out, or write {layout_string.written([stage.count('t') for stage in stages], mtp)}",
        )


def _dealt(config: Config, flags: Sequence[str]) -> Check:
    """A ValueError of TransformerConfig."""
    layers, pp, vpp = config.model.num_hidden_layers, config.degrees.pp, config.degrees.vpp
    asked = " and ".join(" ".join((flag, *given(config)[flag])) for flag in flags)
    fitting = {flag: fits for flag in flags if flag in (FIRST, LAST) and (fits := _fitting(config, flag))}
    told = "".join(f"; {flag} may be {_listed(fits)}" for flag, fits in fitting.items())
    nearest = [
        f"{flag}={min(fits, key=lambda fit: abs(fit - number(config, flag, 1)))}" for flag, fits in fitting.items()
    ]
    return check(
        "megatron-stage-ends",
        holds=counts(config) is not None,
        observed=asked,
        limit="an even rest",
        message=f"{asked}: {source(config, 'transformer_config.py')} wants stages between that share the rest of {layers} layers evenly, at "
        f"least a layer for each of pp={pp} and a whole number for each of vpp={vpp}{told}",
        fix="".join(f"write {item}, or " for item in nearest) + f"leave {' and '.join(flags)} out",
    )


def _fitting(config: Config, flag: str) -> list[int]:
    """Numbers of layers of one end that leave an even rest beside the other end's."""
    pp, vpp, said = config.degrees.pp, config.degrees.vpp, given(config)
    others = [number(config, end, 1) for end in (FIRST, LAST) if end in said and end != flag]
    left, among = config.model.num_hidden_layers - sum(others), pp - len(others) - 1
    fits = [left - among * each for each in range(vpp, left + 1, vpp)] if among > 0 else [left]
    return sorted(count for count in fits if count > 0 and count % vpp == 0)


def _listed(fits: Sequence[int]) -> str:
    """The first of them, and the last."""
    shown = [*fits[:4], "...", fits[-1]] if len(fits) > 6 else fits
    return ", ".join(map(str, shown))


def _tied(config: Config) -> Iterator[str]:
    """With tied weights the group of embeddings has three stages, which no plan of ours describes."""
    if config.model.tie_word_embeddings and config.model.num_nextn_predict_layers and mtp_stage(config) != -1:
        yield "MTP layers of a model with tied embeddings are with the loss (the plan's own rule)"
