"""`--pipeline-model-parallel-layout`: stages split by `|`, of E the embedding, t a layer, m an MTP layer and L the loss."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from compiler.errors import CompilerError, ConfigError, short
from compiler.specs.limits import LAYERS
from compiler.words import whole

_REPEATED = (re.compile(r"\(([^)]+)\)\*(\d+)"), re.compile(r"(.)\*(\d+)"))
"""`(..)*n` first, then `x*n`, as core/transformer/pipeline_parallel_layer_layout.py unrolls them."""

LONGEST = 4 * LAYERS
"""Characters of a layout with nothing repeated: layers, and the bars between stages."""


def parts(layout: str) -> tuple[str, ...]:
    """What each virtual stage holds, a letter each. Raises ConfigError for a text that is no layout."""
    found = layout.replace(",", "")
    for pattern in _REPEATED:
        found = _unrolled(pattern, found, layout)
    strange = sorted({letter for letter in found if letter not in "EtmL|"})
    if strange:
        raise _wrong(layout, f"holds {short(' '.join(strange))}")
    return tuple(found.split("|"))


def _unrolled(pattern: re.Pattern[str], text: str, layout: str) -> str:
    length = len(text) + sum(len(part) * (whole(count) or LONGEST) for part, count in pattern.findall(text))
    if length > LONGEST:
        raise _wrong(layout, f"comes to more than {LONGEST} letters")
    return pattern.sub(lambda found: found[1] * int(found[2]), text)


def _wrong(layout: str, what: str) -> CompilerError:
    return ConfigError.of(
        f"framework.args: --pipeline-model-parallel-layout {short(layout)} {what}",
        "write stages split by |, of E, t, m and L, as in Et|(tt|)*30mL",
    )


def troubles(stages: Sequence[str], pp: int, mtp: int) -> Iterator[str]:
    """What Megatron refuses of a layout, beside the number of its layers and stages."""
    order, holders = "".join(stages), [at for at, stage in enumerate(stages) if "m" in stage]
    if order.count("E") != 1 or not order.startswith("E") or order.count("L") != 1 or not order.endswith("L"):
        yield "E comes first and L last, once each"
    if order.count("m") != mtp:
        yield f"it holds {order.count('m')} MTP layers and the model has {mtp}"
    if "m" in order and "t" in order[order.index("m") :]:
        yield "decoder layers come before MTP layers"
    if len(holders) > 1:
        yield "all MTP layers are in one stage"
    if holders and holders[0] < len(stages) - pp:
        yield f"MTP layers are in the last virtual stage of a pipeline rank, one of the last {pp}"
    if holders and len(stages) > pp > 1 and holders[0] % pp == 0:
        yield "MTP layers are not on the first pipeline rank"


def written(counts: Sequence[int], mtp: int) -> str:
    """The layout of stages with these layers; the MTP layers and the loss are in the last."""
    stages = [f"t*{count}" if count else "" for count in counts]
    stages[0] = "E" + stages[0]
    stages[-1] += (f"m*{mtp}" if mtp else "") + "L"
    return "|".join(stages)
