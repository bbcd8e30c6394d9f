"""Arguments of a server that say what a key of the workload says: read as that key, and written by the plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from compiler.frameworks.asked import CACHE
from compiler.frameworks.options import number, options, without
from compiler.specs.config import Config
from compiler.specs.degrees import resolve
from compiler.specs.workload import ROLES


def told(
    config: Config,
    chunk: Mapping[str, Callable[[int, int], int]],
    caches: Mapping[str, str],
    whole: str = "",
    cut: str = "",
) -> Config:
    """The configuration with the user's chunk of prompts and precision of cached keys and values as keys, where no key says
    another thing.

    `chunk`: options -> the chunk of one prompt, of their number and the attention DP of what prefills; `caches`: what the
    option of the cache may be -> the key's value; `whole`: the option beside which no prompt is cut; `cut`: the switch that the plan
    writes beside a chunk.
    """
    if config.workload.train:
        return config
    given = options(_args(config, ROLES[0]))
    if config.workload.prefill_chunk is None and config.workload.role != "decode" and whole not in given:
        for name, of in chunk.items():
            tokens = of(number(given, name, 0), _adp(config)) if name in given else 0
            if tokens > 0:
                config = _without(_without(config, name, ROLES[:1]), cut, ROLES[:1])
                config = replace(config, workload=replace(config.workload, prefill_chunk=tokens))
    found = {options(_args(config, role)).get(CACHE, "") for role in ROLES}
    if config.workload.kv_cache_precision is None and len(found) == 1 and (value := caches.get(found.pop())):
        config = _without(config, CACHE, ROLES)
        config = replace(config, workload=replace(config.workload, kv_cache_precision=value))
    return config


def _args(config: Config, role: str) -> Sequence[str]:
    """Of the server that does a phase."""
    pools = config.workload.pools
    return [*config.framework.args, *([] if pools is None else pools[role].args)]


def _adp(config: Config) -> int:
    pools = config.workload.pools
    parallel = config.parallel if pools is None else pools[ROLES[0]].parallel
    return resolve(parallel, config.model.moe).adp


def _without(config: Config, name: str, read: Collection[str]) -> Config:
    """Without an option where it is read for some roles; the pool of another keeps what it had, its own or that of both."""
    pools, both = config.workload.pools, config.framework.args
    if pools is not None:
        kept = {role: replace(pools[role], args=_left(pools[role].args, both, name, role in read)) for role in ROLES}
        config = replace(config, workload=replace(config.workload, pools=replace(pools, **kept)))
    return replace(config, framework=replace(config.framework, args=list(without(both, name))))


def _left(own: Sequence[str], both: Sequence[str], name: str, read: bool) -> list[str]:
    """A pool's own arguments once an option is no longer among those of both."""
    if read:
        return list(without(own, name))
    said = options(both)
    return [*([f"{name}={said[name]}"] if name in said and name not in options(own) else []), *own]
