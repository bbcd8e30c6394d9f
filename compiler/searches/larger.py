"""A larger cluster for a search, as overrides."""

from __future__ import annotations

from compiler.searches.space import Space
from compiler.specs.limits import NODES, RANKS


def larger(space: Space, nodes: int) -> str:
    """Overrides that let a search take `nodes` nodes; empty where an inventory says which there are, or where no plan is so large."""
    hardware = space.config.hardware
    gpus = nodes * hardware.node.gpus
    if gpus <= hardware.gpus:
        return f"search.gpus={gpus}"
    if hardware.inventory is not None or nodes > NODES or gpus > RANKS:
        return ""
    return f"hardware.nodes={nodes}" + (f" search.gpus={gpus}" if space.config.search.gpus else "")
