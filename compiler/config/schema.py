"""The configuration's schema: the specs themselves, with their read-only flag lifted so that Hydra may override them."""

from __future__ import annotations

import pickle
from functools import cache
from typing import Any

from omegaconf import Container, DictConfig, OmegaConf

from compiler.specs.config import Config

COPIES_NOTHING = "no_deepcopy_set_nodes"
"""OmegaConf's flag for a node that takes over nodes that are set in it; else it copies each, with all that is below."""


def schema() -> DictConfig:
    """The root schema. Groups come from their own files, so they start empty here."""
    found: DictConfig = pickle.loads(_built())  # noqa: S301 - of this process
    return found


@cache
def _built() -> bytes:
    """Building it takes thirty times as long as reading it back, and a sweep composes twice a job."""
    return pickle.dumps(writable(Config()))


def writable(spec: Any) -> DictConfig:
    """A frozen dataclass (type or value) as a typed node that takes overrides."""
    node: DictConfig = OmegaConf.structured(spec, flags={COPIES_NOTHING: True})  # what is set is of this call alone
    node._set_flag(COPIES_NOTHING, None)  # noqa: SLF001 - OmegaConf's own functions set it so too
    _lift(node)
    return node


def _lift(node: Any) -> None:
    if not isinstance(node, Container):
        return
    OmegaConf.set_readonly(node, None)
    if isinstance(node, DictConfig) and not node._is_missing() and not node._is_none():  # noqa: SLF001 - no public test
        for key in node:
            _lift(node._get_node(key))  # noqa: SLF001 - the public way resolves and fails on missing values
