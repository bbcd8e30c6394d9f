"""How many layers each virtual stage holds: as written, evenly, or by the framework's own rule."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.frameworks.adapter import adapter
from compiler.specs.config import Config


def stage_layers(config: Config) -> Sequence[int] | None:
    """Layers of each virtual stage in order, pp*vpp entries; None where nobody says how to split them."""
    parallel, layers = config.parallel, config.model.num_hidden_layers
    parts = parallel.pp * parallel.vpp
    if parallel.stages is not None:
        return parallel.stages
    if layers % parts == 0:
        return [layers // parts] * parts
    if parts > layers:  # some of them would be empty under any rule
        return None
    return adapter(config.framework.name).uneven_stages(config, parts)
