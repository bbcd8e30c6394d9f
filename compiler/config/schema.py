"""The configuration's schema: the specs themselves, with their read-only flag lifted so that Hydra may override them."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

from omegaconf import Container, DictConfig, OmegaConf

from compiler.specs.config import Config


def schema() -> DictConfig:
    """The root schema. Groups come from their own files, so they start empty here."""
    return deepcopy(_built())


@cache
def _built() -> DictConfig:
    """Building it takes six times as long as copying it, and a sweep composes twice a job."""
    return writable(Config())


def writable(spec: Any) -> DictConfig:
    """A frozen dataclass (type or value) as a typed node that takes overrides."""
    node: DictConfig = OmegaConf.structured(spec)
    _lift(node)
    return node


def _lift(node: Any) -> None:
    if not isinstance(node, Container):
        return
    OmegaConf.set_readonly(node, None)
    if isinstance(node, DictConfig) and not node._is_missing() and not node._is_none():  # noqa: SLF001 - no public test
        for key in node:
            _lift(node._get_node(key))  # noqa: SLF001 - the public way resolves and fails on missing values
