"""What a site's own runs say, as calibration files hold it under `runs`: framework -> kind of models -> factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.costs.own import Own
from compiler.errors import ConfigError, short
from compiler.nearest import one_of
from compiler.specs.config import Config
from compiler.specs.ranges import problems
from compiler.speed import files

PART = "runs"

KEYS = frozenset({*vars(Own()), "rows"})
"""Factors, of how many runs each is, and what those were, for people."""


def kind(config: Config) -> str:
    """Which models err alike."""
    return "moe" if config.model.moe else "dense"


def of(config: Config) -> Own:
    """Of a plan's framework and kind of model. Raises ConfigError for runs that are none."""
    wanted = config.hardware.calibration
    found = read(files.load(wanted)) if wanted else {}
    return found.get((config.framework.name, kind(config)), Own())


def read(contents: Mapping[str, Any]) -> dict[tuple[str, str], Own]:
    """All of a file. Raises ConfigError for runs that are none."""
    key = f"hardware.calibration.{PART}"
    found = {}
    try:
        for framework, kinds in contents.get(PART, {}).items():
            for name, values in kinds.items():
                if other := sorted(set(map(str, values.keys())) - KEYS):
                    raise ConfigError.of(
                        f"{key}.{short(framework)}.{short(name)} has {short(', '.join(other))}, which shifts nothing",
                        one_of(other[0], sorted(KEYS)),
                    )
                found[str(framework), str(name)] = files.spec(Own, values)
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError.of(f"{key} are none: {short(error)}", files.WRITE) from error
    if bad := [problem for names, each in found.items() for problem in problems(each, ".".join((key, *names)))]:
        raise ConfigError(bad)
    return found
