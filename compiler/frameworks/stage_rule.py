"""How many layers each virtual stage holds: as written, evenly, or by the framework's own rule."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.frameworks.adapter import Empty, adapter
from compiler.specs.config import Config


def stage_layers(config: Config) -> Sequence[int] | None:
    """Layers of each virtual stage in order, pp*vpp entries; None where nobody says how to split them. Raises ConfigError where
    `framework.args` say it wrongly.
    """
    parallel, layers, rules = config.parallel, config.model.num_hidden_layers, adapter(config.framework.name)
    parts = parallel.pp * parallel.vpp
    if parallel.stages is not None:
        return parallel.stages
    said = rules.said_stages(config)
    if said is not None:
        return said
    if layers % parts == 0:
        return [layers // parts] * parts
    if parts > layers and rules.empty_stages is Empty.NONE:
        return None
    return rules.uneven_stages(config, parts)
