"""How layers may be dealt out to pipeline stages: as the framework does by itself, with lighter ends, or with ends of their own."""

from __future__ import annotations

from compiler.frameworks.adapter import Empty, adapter
from compiler.frameworks.stage_rule import stage_layers
from compiler.specs.config import Config

OWN, LIGHT, LOSS_APART = range(3)
"""The framework's own split; ends that hold less, as they have the embedding and the head; and the head on a stage of its own."""


def choices(config: Config, pp: int, vpp: int) -> list[int]:
    """Splits over virtual stages that differ, for a configuration that leaves them open. Several chunks on a rank are alike, but for the
    first and the last of all, or there is none.
    """
    total, parts = config.model.num_hidden_layers, pp * vpp
    if parts == 1 or config.parallel.stages is not None:
        return [OWN]
    own = total % parts == 0 or bool(stage_layers(config))
    found = [OWN] * own + [LIGHT] * (not own and (vpp == 1 or _ends(total, parts) is not None))
    apart = dealt(total, parts, apart=True)
    empty = config.workload.train and adapter(config.framework.name).empty_stages is not Empty.NONE
    if (
        empty
        and parts <= total + 1
        and (vpp == 1 or len(set(apart[1:-1])) < 2)
        and layers(total, LIGHT, parts) != apart
    ):
        found.append(LOSS_APART)
    return found or [OWN]


def layers(total: int, split: int, parts: int) -> tuple[int, ...] | None:
    """Layers of each virtual stage; None for the framework's own split."""
    if split == OWN:
        return None
    return dealt(total, parts, apart=True) if split == LOSS_APART else _ends(total, parts) or dealt(total, parts)


def _ends(total: int, parts: int) -> tuple[int, ...] | None:
    """As many layers on every stage but the first and the last, which share the rest."""
    each = -(-total // parts)
    rest = total - each * (parts - 2)
    return (-(-rest // 2), *[each] * (parts - 2), rest // 2) if rest >= 0 and parts > 1 else None


def dealt(total: int, parts: int, *, apart: bool = False) -> tuple[int, ...]:
    """As even as can be: stages from both ends on have one less, the last one first; the first one first where the last holds none."""
    if apart:
        return (*dealt(total, parts - 1)[::-1], 0) if parts > 1 else ()
    each = -(-total // parts)
    found = [each] * parts
    for turn in range(each * parts - total):
        found[-1 - turn // 2 if turn % 2 == 0 else turn // 2] -= 1
    return tuple(found)
