"""torchtitan's own meshes, stages, experts and arguments beside the plan's: `ParallelDims.build_mesh` on a fake backend.

One process, no GPU. Every process group that torch is asked for is recorded, so the comparison is with communicators.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from compiler.errors import ConfigError, Problem
from compiler.frameworks.proof import Finding, NotInstalledError, release
from compiler.frameworks.resolved import values
from compiler.frameworks.torchtitan import meshes, resolved, tables
from compiler.world import World

NEEDED = ("torch", "spmd_types", "tyro")
INSTALL = "pip install torch==2.13.0 tyro==1.0.17, and --no-deps spmd_types==0.2.3 torchtitan==0.3.0"


def prove(world: World, source: Path | None) -> Iterator[Finding]:
    """Compare everything that torchtitan builds. Raises NotInstalledError; leaves torch.distributed as it was."""
    with _imported(source):
        parsed = tables.parsed(world)
        with fake_ranks(world.size), meshes.recorded() as calls:
            dims = meshes.build(world, parsed.parallelism)
            yield from values(resolved.planned(world), resolved.read(parsed, dims))
            yield from meshes.sizes(world, dims)
            yield from meshes.found(world, dims, calls)
        yield from tables.stages(world, parsed.parallelism)
        yield from tables.experts(world)
        yield from tables.model(world)
        yield _tested(world)


def _tested(world: World) -> Finding:
    import torchtitan

    return release(world.config, str(torchtitan.__version__))


@contextmanager
def _imported(source: Path | None) -> Iterator[None]:
    """torchtitan importable, from `source` where it is given; without a trace in the latter case."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise NotInstalledError([Problem(f"{', '.join(missing)} cannot be imported here", INSTALL)])
    if source is None:
        if find_spec("torchtitan") is None:
            raise NotInstalledError([Problem("torchtitan is not installed here", f"{INSTALL}, or --wheel FILE")])
        yield
        return
    kept = _taken("torchtitan")
    with ExitStack() as undo:
        undo.callback(sys.modules.update, kept)
        undo.callback(_taken, "torchtitan")
        folder = str(source if source.is_dir() else _unpacked(source, undo.enter_context(TemporaryDirectory())))
        sys.path.insert(0, folder)
        undo.callback(sys.path.remove, folder)
        spec = find_spec("torchtitan")
        if spec is None or not str(spec.origin).startswith(folder):
            raise NotInstalledError([Problem(f"{source} holds no torchtitan", "name a torchtitan wheel")])
        yield


def _unpacked(wheel: Path, folder: str) -> str:
    """The wheel's content: some of its packages have no __init__.py, which an archive cannot import."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise NotInstalledError([Problem(f"{wheel} is no wheel: {error}", "name a torchtitan wheel")]) from error
    return folder


def _taken(package: str) -> dict[str, Any]:
    """The loaded modules of a package, which are unloaded."""
    names = [name for name in sys.modules if name.split(".")[0] == package]
    return {name: sys.modules.pop(name) for name in names}


@contextmanager
def fake_ranks(count: int) -> Iterator[None]:
    """torch.distributed as rank 0 of `count` that do not exist. Raises ConfigError where it is in use."""
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if dist.is_initialized():
        raise ConfigError.of("torch.distributed is in use in this process", "prove the plan in a process of its own")
    dist.init_process_group("fake", rank=0, world_size=count, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()
