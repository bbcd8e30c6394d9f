"""Options of the user's that stop Megatron though nothing of this plan hangs on them: left out of its arguments, and said so.

Published recipes keep such options for every size of a plan, and their own launchers take them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from compiler.checks import Check, Status, check, rule
from compiler.frameworks.megatron.options import given, number, source
from compiler.frameworks.options import without
from compiler.specs.config import Config

OVERLAP, POSITIONS = "--tp-comm-overlap", "--max-position-embeddings"


def length(config: Config) -> int:
    """Tokens of the longest sequence that Megatron is told of: in serving prompt and answer."""
    workload = config.workload
    return workload.longest + (0 if workload.train else workload.output_length)


def eased(config: Config) -> Config:
    """The same without those options."""
    names = [name for name, *_ in _idle(config)]
    if not names:
        return config
    args = list(without(config.framework.args, *names))
    return replace(config, framework=replace(config.framework, args=args))


def _idle(config: Config) -> Iterator[tuple[str, str, str]]:
    """Option, why it stops Megatron, and why nothing is lost without it."""
    user = given(config)
    if OVERLAP in user and config.degrees.tp == 1:
        yield OVERLAP, "wants sequence parallelism, which is off at tp=1", "no product waits for a tp group of one rank"
    positions = number(config, POSITIONS, length(config))
    if positions < length(config) and config.model.position_embedding_type != "absolute":
        yield (
            POSITIONS,
            f"{positions} is below the sequence of {length(config)} tokens",
            f"a model without a table of positions needs no number, and gets {length(config)}",
        )


@rule
def declared(config: Config) -> Iterator[Check]:
    """A warning for each."""
    for name, stops, idle in _idle(config):
        yield check(
            f"megatron-{'positions' if name == POSITIONS else name.removeprefix('--')}",
            holds=False,
            observed=" ".join((name, *given(config)[name])),
            limit="left out",
            message=f"framework.args: {name} {stops} ({source(config, 'arguments.py')}); it is left out, as {idle}",
            fix=f"leave {name} out of framework.args",
            otherwise=Status.WARN,
        )
