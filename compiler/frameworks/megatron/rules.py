"""All of Megatron's rules: what it can be asked for, what it refuses at start, what it refuses later or never."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, rule
from compiler.frameworks import versions
from compiler.frameworks.megatron import (
    alignment,
    communicators,
    described,
    eased,
    expressible,
    host,
    late,
    stage_args,
    start,
    states,
)
from compiler.frameworks.megatron.options import refuse_owned
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    """Raises ConfigError where `framework.args` set what the plan decides."""
    refuse_owned(config)
    yield from versions.checked(config)
    yield from eased.declared(config)
    asked = eased.eased(config)
    for rules in (expressible, stage_args, start, described, host, late, states, alignment, communicators):
        yield from rules.declared(asked)
