"""Interpolations between keys stay; what asks the compiling machine is refused: the same input gives the same plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import Node
from omegaconf.basecontainer import BaseContainer

from compiler.errors import ConfigError, Problem

PURE = frozenset({"oc.select", "oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values"})
"""OmegaConf's own resolvers that see nothing but the configuration."""
HYDRA = frozenset({"hydra", "now", "python_version"})
"""Hydra's, which its application alone registers."""


@contextmanager
def sealed() -> Iterator[None]:
    """Within it every other resolver is refused: oc.env, now, hydra, and whatever an application registered.

    Raises ConfigError with the key of the value that asks for one.
    """
    known: dict[str, Any] = BaseContainer._resolvers  # noqa: SLF001 - OmegaConf has no registry to pass in
    before = {name: known.get(name) for name in (known.keys() | HYDRA) - PURE}
    refused: list[Problem] = []
    known.update({name: _refusing(name, refused) for name in before})
    try:
        yield
    except Exception as error:
        if refused:
            raise ConfigError(refused) from error
        raise
    finally:
        for name, resolver in before.items():
            known[name] = resolver
            if resolver is None:
                del known[name]


def _refusing(name: str, refused: list[Problem]) -> Callable[..., Any]:
    def refuse(_root: Any, _parent: Any, node: Node, _values: Any, written: tuple[str, ...]) -> Any:
        asked = f"${{{name}:{','.join(written)}}}"
        key = node._get_full_key(None)  # noqa: SLF001 - the public way knows no key
        found = Problem(
            f"{key}: {asked} asks the machine that compiles, and the same input would make other plans elsewhere",
            f"write the value itself, launch.secrets.NAME=FILE for a secret, or \\{asked} for a text that stays as it is",
        )
        if not key.startswith("hydra.") and found not in refused:  # its own, which it looks at and which no plan reads
            refused.append(found)
        raise ConfigError([found])

    return refuse
