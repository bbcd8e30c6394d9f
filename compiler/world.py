"""Everything about ranks that later passes read: the layout, with the configuration that it is of."""

from __future__ import annotations

from compiler.cluster.layout import Layout
from compiler.cluster.packing import Blocks
from compiler.frozen import dataclass
from compiler.layout.traits import Traits
from compiler.specs.config import Config
from compiler.specs.degrees import Degrees


@dataclass(frozen=True, kw_only=True)
class World(Layout):
    """A Layout as it is compiled. `traits` are what else the framework decides, `blocks` how slots are bound to hosts that
    nobody knows yet, where that was searched.
    """

    config: Config
    degrees: Degrees
    traits: Traits
    blocks: Blocks | None = None
