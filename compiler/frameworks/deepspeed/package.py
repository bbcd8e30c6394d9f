"""DeepSpeed itself in this process: imported on the CPU, quiet, with its process groups recorded instead of made."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import shutil
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from compiler.errors import Problem
from compiler.frameworks.proof import NotInstalledError

NEEDS = "torch hjson msgpack psutil py-cpuinfo pydantic tqdm einops packaging"


@dataclass
class Recorder:
    """Stands for deepspeed.comm as rank 0 of `world` ranks. Every rank makes all groups, so one rank's calls are all of them."""

    world: int
    made: list[list[int]] = field(default_factory=list)

    def is_initialized(self) -> bool:
        return True

    def get_rank(self, group: list[int] | None = None) -> int:
        return 0 if group is None else group.index(0)

    def get_world_size(self, group: list[int] | None = None) -> int:
        return self.world if group is None else len(group)

    def new_group(self, ranks: Any) -> list[int]:
        self.made.append([int(rank) for rank in ranks])
        return self.made[-1]

    def take(self, count: int | None = None) -> list[list[int]]:
        """Remove and return the next `count` groups (default: all)."""
        taken = self.made[:count]
        del self.made[: len(taken)]
        return taken


@dataclass(frozen=True)
class Package:
    """DeepSpeed's modules. Raises NotInstalledError where one cannot be imported."""

    recorder: Recorder

    def module(self, name: str) -> Any:
        return _import(f"deepspeed.{name}" if name else "deepspeed")


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotInstalledError(
            [Problem(f"{name} cannot be imported: {error}", f"pip install deepspeed==0.19.8 and {NEEDS}")]
        ) from error


@contextlib.contextmanager
def opened(world: int, source: Path | None) -> Iterator[Package]:
    """The installed package, or that of `source`: a folder, a wheel or a source archive.

    What it prints is dropped, and everything that is patched, set or imported from `source` is undone at the end.
    """
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, {"DS_ACCELERATOR": "cpu"}))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        if source is not None:
            stack.enter_context(_instead(stack.enter_context(_unpacked(source))))
        found = Package(Recorder(world))
        _import("deepspeed")
        _record(found, stack)
        yield found


def _record(found: Package, stack: ExitStack) -> None:
    """Put the recorder in the place of deepspeed.comm, and empty what groups.py remembers."""
    groups = found.module("utils.groups")
    fresh: dict[str, Any] = {
        name: {} for name, value in vars(groups).items() if name[:1] == "_" and type(value) is dict
    }
    fresh.pop("__builtins__", None)
    kept = {name: getattr(groups, name) for name in ("mpu", "mesh_device", "expert_tensor_parallel_world_size")}
    groups_of_tp = ("_TENSOR_MODEL_PARALLEL_GROUP", "_MODEL_PARALLEL_GROUP", "_DATA_PARALLEL_GROUP", "_WORLD_GROUP")
    kept |= dict.fromkeys((*groups_of_tp, "_ZERO_PARAM_INTRA_PARALLEL_GROUP"))
    stack.enter_context(mock.patch.multiple(groups, dist=found.recorder, **fresh, **kept))
    for name in ("runtime.pipe.topology", "runtime.config"):
        stack.enter_context(mock.patch.object(found.module(name), "dist", found.recorder))


@contextlib.contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    """The folder that holds the package `deepspeed`. Raises NotInstalledError where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        if source.is_dir():
            roots = [source]
        else:
            _unpack(source, folder)
            roots = [Path(folder), *sorted(Path(folder).iterdir())]
        root = next((root for root in roots if (root / "deepspeed" / "__init__.py").is_file()), None)
        if root is None:
            raise NotInstalledError(
                [Problem(f"{source} holds no package deepspeed", "pip download --no-deps deepspeed==0.19.8")]
            )
        yield root


def _unpack(source: Path, folder: str) -> None:
    if zipfile.is_zipfile(source):
        shutil.unpack_archive(source, folder, "zip")
    elif source.is_file() and tarfile.is_tarfile(source):
        shutil.unpack_archive(source, folder, "gztar", filter="data")


@contextlib.contextmanager
def _instead(root: Path) -> Iterator[None]:
    """Import deepspeed from `root`, and have whatever was imported before back at the end."""

    def loaded() -> list[str]:
        return [name for name in sys.modules if name.split(".")[0] == "deepspeed"]

    before = {name: sys.modules.pop(name) for name in loaded()}
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(before)
