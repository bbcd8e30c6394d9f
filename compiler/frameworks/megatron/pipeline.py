"""The layers of each stage, as Megatron's arguments say them."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.frameworks.stage_rule import stage_layers
from compiler.specs.config import Config

Option = tuple[str, ...]
"""A flag and its values."""


def options(config: Config) -> list[Option]:
    """The arguments for `parallel.stages` and vpp: none, an odd first and last stage, or a layout in full."""
    counts, degrees = list(stage_layers(config) or ()), config.degrees
    if len(set(counts)) <= 1:
        return [("--num-virtual-stages-per-pipeline-rank", str(degrees.vpp))] if degrees.vpp > 1 else []
    if degrees.vpp == 1 and len(set(counts[1:-1])) <= 1:
        return _ends(counts)
    return [("--pipeline-model-parallel-layout", layout(counts, config.model.num_nextn_predict_layers))]


def _ends(counts: Sequence[int]) -> list[Option]:
    """The first and the last stage, where the ones between (of two stages, the last) are all alike."""
    middle = counts[1]
    found: list[Option] = [("--decoder-first-pipeline-num-layers", str(counts[0]))] if counts[0] != middle else []
    if counts[-1] != middle:
        found.append(("--decoder-last-pipeline-num-layers", str(counts[-1])))
    return found


def layout(counts: Sequence[int], mtp: int) -> str:
    """Stages split by `|`: E the embedding, t a layer, m an MTP layer, L the loss, *n repetition."""
    stages = [f"t*{count}" for count in counts]
    stages[0] = "E" + stages[0]
    stages[-1] += (f"m*{mtp}" if mtp else "") + "L"
    return "|".join(stages)
