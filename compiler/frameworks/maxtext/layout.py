"""MaxText's mesh (`mesh_axes` of base.yml), in the plan's axes.

JAX lays GPUs out in the order of their processes, row-major over the mesh: the last axis is the fastest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from compiler.frameworks.versions import version
from compiler.layout.grid import Axis, Grid, GroupKind, row_major
from compiler.specs.config import Config
from compiler.words import whole

ATTENTION = {"expert": "dp", "tensor": "tp", "context": "cp", "data": "dp", "fsdp": "dp", "stage": "pp"}
EXPERT = {"expert": "ep", "tensor": "etp", "context": "edp", "data": "edp", "fsdp": "edp", "stage": "pp"}
DENSE = {**EXPERT, "tensor": "edp"}
"""What the plan calls its axes. Around attention the expert axis is data parallelism."""


def expressible(config: Config) -> bool:
    """Whether ep is a factor of adp, and experts are cut by the same tensor axis as everything else."""
    degrees = config.degrees
    return degrees.adp % degrees.ep == 0 and degrees.etp == (degrees.tp if config.model.moe else 1)


def data_axis(config: Config) -> str:
    """Where replicas go: fsdp cuts parameters too, data does not."""
    return "fsdp" if config.workload.zero_stage == 3 else "data"


def sizes(config: Config) -> dict[str, int]:
    """Mesh axis -> degree, of those that are more than 1 in some plan."""
    degrees = config.degrees
    own = {"expert": degrees.ep, "tensor": degrees.tp, "context": degrees.cp, "stage": degrees.pp}
    return {**own, **replicas(config)}


def replicas(config: Config) -> dict[str, int]:
    """What is left of adp: on one axis, or as `framework.args` deal it out to copies (data) and shards (fsdp) of parameters."""
    rest = config.degrees.adp // config.degrees.ep
    said = {axis: asked(config, axis) for axis in ("data", "fsdp")}
    if said["data"] is None and said["fsdp"] is None:
        return {data_axis(config): rest}
    data = said["data"] or max(1, rest // (said["fsdp"] or 1))
    return {"data": data, "fsdp": said["fsdp"] or max(1, rest // data)}


def asked(config: Config, axis: str) -> int | None:
    """The degree that `framework.args` give an axis, within a slice and between slices; None where they do not, or leave it open."""
    said = dict(word.split("=", 1) for word in config.framework.args if "=" in word)
    found = [whole(said[key]) for key in (f"ici_{axis}_parallelism", f"dcn_{axis}_parallelism") if key in said]
    known = [degree for degree in found if degree is not None and degree > 0]
    return math.prod(known) if known and len(known) == len(found) else None


UNDERSTOOD = tuple(f"{where}_{axis}_parallelism" for where in ("ici", "dcn") for axis in ("data", "fsdp"))
"""Keys of `framework.args` that shape the plan: copies go between nodes and shards within them where data is the slower axis."""


def mesh_axes(config: Config) -> Sequence[str]:
    """Slowest first. With a pipeline, configs/types.py swaps `stage` and `data` where data comes first."""
    axes = list(version(config).facts["mesh_axes"])
    data, stage = axes.index("data"), axes.index("stage")
    if config.degrees.pp > 1 and data < stage:
        axes[data], axes[stage] = axes[stage], axes[data]
    return axes


def mesh(config: Config) -> Grid:
    """The mesh, less the axes that are 1 in every plan."""
    own = sizes(config)
    return row_major((axis, own[axis]) for axis in reversed(mesh_axes(config)) if axis in own)


def grids(config: Config) -> tuple[Grid, Grid] | None:
    """The mesh seen by attention and by experts; dp and edp are made of several of its axes."""
    if not expressible(config):
        return None
    axes = mesh(config).axes
    return _named(axes, ATTENTION), _named(axes, EXPERT if config.model.moe else DENSE)


def _named(axes: Sequence[Axis], names: dict[str, str]) -> Grid:
    found = [Axis(names[axis.axis], axis.size, axis.stride) for axis in axes]
    missing = {"ep", "etp", "edp", "pp"} if "ep" in names.values() else {"tp", "cp", "dp", "pp"}
    ones = [Axis(name, 1, 1) for name in sorted(missing - {axis.axis for axis in found})]
    return Grid((*found, *ones))


def kinds(config: Config) -> dict[str, GroupKind]:
    """Devices along each axis of the mesh; XLA makes communicators of these and of products of them."""
    if not expressible(config):
        return {}
    found = mesh(config)
    return {f"maxtext.{axis.axis}": found.kind((axis.axis,)) for axis in found.axes if axis.size > 1}
