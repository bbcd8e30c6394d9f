"""What a search has no use for, and is refused for before it starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from compiler.errors import InvariantError, Problem
from compiler.fixes.change import key
from compiler.searches.beside import BATCH
from compiler.searches.limits import CLIENTS, LOAD
from compiler.specs.config import Config


def refuse(config: Config, given: Sequence[str]) -> None:
    """Raises InvariantError for what a search has no use for; each value is good in itself (`vary.varied`)."""
    search, problems = config.search, list[Problem]()
    degrees = any(re.fullmatch(r"workload\.pools(\.\w+(\.parallel|\.instances)?)?", key(item)) for item in given)
    if config.workload.pools is not None and (search.pools != "apart" or degrees):
        problems.append(
            Problem(
                "parallel=auto beside workload.pools: the degrees of pools are written",
                "leave workload.pools out, or write search.pools=apart and no more of a pool than workload.pools.decode.args=[...]",
            )
        )
    if search.pools != "together":
        problems += _of_pools(config)
    if config.workload.train:
        problems += [
            Problem(
                f"search.{name} limits what clients see, and the plan trains",
                f"leave search.{name} out, or write workload=serve",
            )
            for name in (*CLIENTS, LOAD)
            if getattr(search, name) is not None
        ]
        if search.objective == "gpus":
            problems.append(
                Problem(
                    "search.objective=gpus wants a load, and the plan trains",
                    "write search.gpus=N for the most GPUs, or search.objective=throughput",
                )
            )
    if search.objective == "step_time" and not config.workload.train:
        problems.append(
            Problem(
                "search.objective=step_time is a training step's, and the plan serves", "write search.objective=latency"
            )
        )
    if search.objective == "gpus" and search.requests_per_s is None and not config.workload.train:
        problems.append(Problem("search.objective=gpus has no load to carry", "write search.requests_per_s=N"))
    if problems:
        raise InvariantError(problems)


def _of_pools(config: Config) -> Iterator[Problem]:
    """What pools have no use for."""
    pools, framework, spares = f"search.pools={config.search.pools}", config.framework, config.launch.spare_nodes
    if config.workload.train:
        yield Problem(
            f"{pools}: prefill and decode are phases of serving, and the plan trains", "leave search.pools out"
        )
    if framework.instances != 1:
        what = f"{pools} beside framework.instances={framework.instances}, which is of neither pool"
        yield Problem(what, "leave framework.instances out, or write search.pools=together")
    if spares:
        yield Problem(
            f"{pools} beside launch.spare_nodes={spares}, which is of neither pool",
            "write launch.spare_nodes=0, or search.pools=together",
        )
    vary = config.search.vary
    others = [one for one in ([vary] if isinstance(vary, str) else vary or ()) if one != BATCH]
    if others:
        yield Problem(
            f"{pools}: search.vary names {others[0]}, and of pools only {BATCH} is tried",
            f"leave {others[0]} out of search.vary, or write search.pools=together",
        )
