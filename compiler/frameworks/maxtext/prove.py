"""A plan against MaxText and JAX, which answer in a process of their own (`oracle.py`): they cannot be taken back.

With a wheel, or MaxText installed, its own configuration reads the emitted arguments. Without, only JAX is asked, for the
mesh that rankplan's table says MaxText asks it for.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compiler.errors import Problem
from compiler.frameworks import resolved
from compiler.frameworks.maxtext import described
from compiler.frameworks.maxtext import resolved as own
from compiler.frameworks.maxtext.emit import emission
from compiler.frameworks.maxtext.layout import ATTENTION, EXPERT, mesh_axes, sizes
from compiler.frameworks.proof import Finding, NotInstalledError, compared, groups
from compiler.frameworks.versions import version
from compiler.layout.groups import ATTENTION_KINDS, EXPERT_KINDS
from compiler.world import World

BASE = Path("maxtext") / "configs" / "base.yml"
Answer = Mapping[str, Any]


def prove(world: World, source: Path | None) -> Iterator[Finding]:
    """Every kind of group, layers, experts and what becomes of the arguments. Raises NotInstalledError."""
    with unpacked(source) as root:
        found = ask([world], root)[0]
    yield from findings(world, found, root)


def findings(world: World, found: Answer, root: Path | None) -> Iterator[Finding]:
    """A plan and an answer about it."""
    number = version(world.config).number
    oracle = (
        "MaxText's configuration and JAX's mesh were run"
        if root
        else "JAX's mesh was run; its axes are rankplan's table"
    )
    if "error" in found:
        yield Finding("arguments", equal=False, planned="accepted", found=f"refused: {found['error']}")
        return
    yield compared(f"oracle: {oracle}", number, number)
    yield compared("axes of the mesh", list(mesh_axes(world.config)), found["mesh_axes"])
    for kind in world.kinds:
        yield groups(kind, world.groups[kind], found["groups"][kind])
    if world.experts.blocks:
        blocks = [[i for first, last in block for i in range(first, last + 1)] for block in world.experts.blocks]
        yield compared("experts of each ep rank", blocks, found["experts"])
    if found["values"]:
        yield from _values(world, found["values"])


def _values(world: World, values: Mapping[str, Any]) -> Iterator[Finding]:
    """Layers of each stage, and every value that the plan rests on, as MaxText's configuration has them."""
    pp = world.degrees.pp
    if pp > 1:
        share, repeats = values["num_layers_per_pipeline_stage"], values["num_pipeline_repeats"]
        starts = [[(again * pp + stage) * share for again in range(repeats)] for stage in range(pp)]
        layers = [[start + i for start in own for i in range(share)] for own in starts]
        yield compared("layers of each stage", [list(stage) for stage in world.stages.layers], layers)
    yield from resolved.values(own.planned(world), own.read(values))


def ask(worlds: Sequence[World], root: Path | None) -> list[Answer]:
    """One process for all of them. Raises NotInstalledError where it cannot import what it needs."""
    if importlib.util.find_spec("jax") is None:
        raise NotInstalledError(
            [Problem("jax is not installed, and it makes MaxText's mesh", "pip install jax==0.10.2")]
        )
    question = {
        "root": None if root is None else str(root),
        "base": None if root is None else str(root / BASE),
        "rules": _table(),
        "cases": [_case(world) for world in worlds],
    }
    answers: list[Answer] = json.loads(_answered(json.dumps(question)))
    return answers


def _answered(question: str) -> str:
    """What the oracle prints; variables that MaxText reads as keys are kept from it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("M_", "MAXTEXT_"))}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(Path(__file__).with_name("oracle.py"))],
        input=question,
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise NotInstalledError(
            [
                Problem(
                    f"MaxText cannot be asked: {last}",
                    "pip install jax==0.10.2 pydantic omegaconf jinja2, or another wheel",
                )
            ]
        )
    return done.stdout


def _table() -> dict[str, list[str]]:
    """The sharding rules as rankplan understands them, for where MaxText's own are not at hand."""
    own = {"ep": "ep", "etp": "etp", "pp": "pp"}
    found: dict[str, list[str]] = {}
    for axis, name in ATTENTION.items():
        found.setdefault(name, []).append(axis)
    for axis, name in EXPERT.items():
        if name in own and axis not in found.setdefault(name, []):
            found[name].append(axis)
    return found


def _case(world: World) -> dict[str, Any]:
    config, moe = world.config, world.config.model.moe
    kinds = {name: [name] for name in world.kinds if name.startswith("maxtext.")}
    kinds |= {name: list(axes) for name, axes in {**ATTENTION_KINDS, **(EXPERT_KINDS if moe else {})}.items()}
    degrees = sizes(config)
    return {
        "devices": world.size,
        "gpus_per_node": config.hardware.node.gpus,
        "arguments": [str(word) for word in emission(world).arguments],
        "mesh_axes": list(mesh_axes(config)),
        "sizes": [degrees.get(axis, 1) for axis in mesh_axes(config)],
        "kinds": kinds,
        "moe": moe,
        "ep": config.degrees.ep,
        "experts": config.model.num_experts,
        "described": list(described.settings(config)),
    }


@contextmanager
def unpacked(source: Path | None) -> Iterator[Path | None]:
    """The folder that holds the package: given, from a wheel, or installed; None where MaxText is nowhere.

    Raises NotInstalledError for a source that is none of these.
    """
    if source is None:
        spec = importlib.util.find_spec("maxtext")
        yield None if spec is None or spec.origin is None else Path(spec.origin).parents[1]
        return
    if (source / BASE).is_file():
        yield source.resolve()
        return
    if not zipfile.is_zipfile(source):
        raise NotInstalledError(
            [
                Problem(
                    f"{source} is neither a wheel nor a folder with {BASE} in it",
                    "pip download --no-deps maxtext==0.2.5",
                )
            ]
        )
    with tempfile.TemporaryDirectory(prefix="rankplan-maxtext-") as folder, zipfile.ZipFile(source) as wheel:
        wheel.extractall(
            folder, [name for name in wheel.namelist() if name.endswith((".py", ".yml", ".yaml", ".json"))]
        )
        if not (Path(folder) / BASE).is_file():
            raise NotInstalledError([Problem(f"{source} has no {BASE}", "pip download --no-deps maxtext==0.2.5")])
        yield Path(folder)
