"""Keys that take one of a few values, where no parser's table has them: kernels of experts, what carries KV caches. A release's own are in
`versions.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.checks import Check, Status, check, rule
from compiler.frameworks.versions import version
from compiler.nearest import one_of
from compiler.specs.config import Config


@rule
def rules(config: Config, source: str, given: Mapping[str, object], *, sure: bool = True) -> Iterator[Check]:
    """One check for each of `given` that the release has a list for; not `sure` where its parser was not at hand to read."""
    found = version(config)
    for name, values in found.facts.get("choices", {}).items():
        if name in given and given[name] is not None:
            value = str(given[name])
            yield check(
                f"{config.framework.name}-choice",
                holds=value in values,
                observed=value,
                limit=", ".join(values),
                message=f"{source} takes one of {len(values)} values of {name}, and {value or 'nothing'} is none of them",
                fix=one_of(value, list(values)),
                otherwise=Status.FAIL if sure and found.known else Status.WARN,
            )
