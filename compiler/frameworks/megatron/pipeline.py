"""The layers of each stage, as Megatron's arguments say them."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.frameworks.megatron import layout_string, stage_args
from compiler.frameworks.megatron.options import given
from compiler.frameworks.stage_rule import stage_layers
from compiler.specs.config import Config

Option = tuple[str, ...]
"""A flag and its values."""


def options(config: Config) -> list[Option]:
    """The arguments for `parallel.stages` and vpp: none, an odd first and last stage, or a layout in full. Where `framework.args`
    say the stages, vpp alone, and not even that beside a layout.
    """
    counts, degrees = list(stage_layers(config) or ()), config.degrees
    virtual: list[Option] = [("--num-virtual-stages-per-pipeline-rank", str(degrees.vpp))] if degrees.vpp > 1 else []
    if stage_args.counts(config) is not None:
        return [] if stage_args.LAYOUT in given(config) else virtual
    if len(set(counts)) <= 1:
        return virtual
    if degrees.vpp == 1 and len(set(counts[1:-1])) <= 1 and min(counts) > 0:
        return _ends(counts)
    return [(stage_args.LAYOUT, layout_string.written(counts, config.model.num_nextn_predict_layers))]


def _ends(counts: Sequence[int]) -> list[Option]:
    """The first and the last stage, where the ones between (of two stages, the last) are all alike."""
    middle = counts[1]
    found: list[Option] = [(stage_args.FIRST, str(counts[0]))] if counts[0] != middle else []
    if counts[-1] != middle:
        found.append((stage_args.LAST, str(counts[-1])))
    return found


def layout(config: Config) -> str | None:
    """The layout that Megatron reads, the user's or ours."""
    found = {flag: values for flag, *values in options(config)} | given(config)
    return "".join(found[stage_args.LAYOUT]) if stage_args.LAYOUT in found else None
