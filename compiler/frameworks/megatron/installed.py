"""Megatron imported from where it is installed, from a wheel or from an unpacked one, on a machine without a GPU."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import tempfile
import typing
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

from compiler.errors import ConfigError
from compiler.frameworks.proof import NotInstalledError

HOW = "pip install megatron-core torch triton einops numpy packaging, or name a wheel with --wheel"


@contextmanager
def megatron(source: Path | None) -> Iterator[None]:
    """Make `megatron` importable from `source`, and forget it afterwards. Raises NotInstalledError, ConfigError.

    `typing.override`, which Python 3.11 lacks and wheels for 3.12 use, is lent for as long.
    """
    with ExitStack() as stack:
        stack.enter_context(_only_ours())
        stack.enter_context(quiet())
        if source is not None:
            sys.modules["megatron"] = _namespace(_unpacked(source, stack))
        if not hasattr(typing, "override"):
            stack.enter_context(mock.patch.object(typing, "override", lambda method: method, create=True))
        stack.enter_context(_hopper())
        module("megatron.core.parallel_state")
        yield


@contextmanager
def _only_ours() -> Iterator[None]:
    """Modules of another Megatron are out of the way inside, and back afterwards."""
    before = {name: sys.modules.pop(name) for name in _loaded()}
    try:
        yield
    finally:
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(before)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no log lines inside; some modules configure the root logger when they are imported."""
    root = logging.getLogger()
    handlers, level, disabled = root.handlers[:], root.level, root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)


def _loaded() -> list[str]:
    return [name for name in sys.modules if name == "megatron" or name.startswith("megatron.")]


def _namespace(folder: Path) -> ModuleType:
    """`megatron` of one folder only: as a namespace package it would take in every other one on the path."""
    package = ModuleType("megatron")
    package.__path__ = [str(folder / "megatron")]
    return package


def _unpacked(source: Path, stack: ExitStack) -> Path:
    """The folder that holds `megatron/`."""
    if source.is_dir():
        if not (source / "megatron" / "core").is_dir():
            raise ConfigError.of(
                f"{source} holds no megatron/core", "name a wheel of megatron-core, or an unpacked one"
            )
        return source
    if not zipfile.is_zipfile(source):
        raise ConfigError.of(f"{source} is no wheel", "name a wheel of megatron-core, or an unpacked one")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    with zipfile.ZipFile(source) as wheel:
        wheel.extractall(folder, [name for name in wheel.namelist() if name.startswith("megatron/")])
    if not (folder / "megatron" / "core").is_dir():
        raise ConfigError.of(f"{source} is no wheel of megatron-core", "name one, or leave --wheel out")
    return folder


def module(name: str) -> ModuleType:
    """Import a module of Megatron's. Raises NotInstalledError with what is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotInstalledError.of(f"Megatron cannot be imported: {error}", HOW) from error


def has_training() -> bool:
    """Whether megatron.training is there: wheels hold it from 0.17 on."""
    return importlib.util.find_spec("megatron.training") is not None


@contextmanager
def _hopper() -> Iterator[None]:
    """Answers to the questions about a GPU that argument checks ask: one of compute capability 9.0."""
    try:
        import torch
    except ImportError as error:
        raise NotInstalledError.of(f"torch cannot be imported: {error}", HOW) from error
    answers: dict[str, Any] = {
        "get_device_capability": lambda *_: (9, 0),
        "get_device_properties": lambda *_: SimpleNamespace(major=9, minor=0),
        "current_device": lambda: 0,
    }
    with mock.patch.multiple(torch.cuda, **answers), mock.patch.dict(os.environ):
        yield
