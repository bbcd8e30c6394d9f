"""What a message about one pool calls its keys: a pool is compiled as a plan of its own, and the user wrote `workload.pools`."""

from __future__ import annotations

import re
from collections.abc import Collection

from compiler.frameworks.emission import flags
from compiler.specs.config import Config

_ALWAYS = {"framework.instances": "instances", "launch.spare_nodes": "spare_nodes"}


def own_words(config: Config, role: str, what: str) -> str:
    """The same with those keys as the pool's that it has of its own; `config` is that of both."""
    pool = None if config.workload.pools is None else config.workload.pools[role]
    if pool is None:
        return what
    names = dict(_ALWAYS)
    for key in ("global_batch_size", "draft_tokens"):
        if getattr(pool, key) is not None:
            names[f"workload.{key}"] = key
    if _names(what, flags(tuple(pool.args))):
        names["framework.args"] = "args"
    if _names(what, pool.environment):
        names["launch.environment"] = "environment"
    keys = "|".join(map(re.escape, names))
    return re.sub(rf"(?<![\w.])({keys})(?!\w)", lambda found: f"workload.pools.{role}.{names[found[1]]}", what)


def _names(what: str, words: Collection[str]) -> bool:
    return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", what) for word in words)
