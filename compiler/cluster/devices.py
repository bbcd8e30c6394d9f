"""Which network card and NUMA node belong to a GPU of a node, and which rail the card is on."""

from __future__ import annotations

from compiler.frozen import dataclass
from compiler.specs.hardware import Hardware
from compiler.specs.site import Site


@dataclass(frozen=True)
class Devices:
    """A text for each GPU of a node, in the order of local ranks; an empty one where nothing is known.

    `nic` is the card's name, or its number where the site names none; `rail` its number on a rail-optimised fabric.
    """

    nic: tuple[str, ...]
    rail: tuple[str, ...]
    numa: tuple[str, ...]


def devices(hardware: Hardware, site: Site) -> Devices:
    """Cards are dealt to GPUs in order; where there are more of them, a GPU has the first of its share."""
    gpus, cards = hardware.node.gpus, hardware.nic.per_node
    nearest = [gpu * cards // gpus for gpu in range(gpus)]
    named = len(site.nics) == cards
    railed = hardware.fabric.kind == "rail_optimized"
    return Devices(
        nic=tuple(site.nics[card] if named else str(card) for card in nearest),
        rail=tuple(str(card) if railed else "" for card in nearest),
        numa=tuple(map(str, site.numa)) if len(site.numa) == gpus else ("",) * gpus,
    )
