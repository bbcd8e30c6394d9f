"""The whole of what a user declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.degrees import DEFAULT_ORDER, Degrees, Parallel, resolve
from compiler.specs.expect import Expect
from compiler.specs.fields import MISSING, between, choice, text
from compiler.specs.hardware import Hardware
from compiler.specs.launch import Launch
from compiler.specs.limits import ARGUMENT, CONTENT, RANKS
from compiler.specs.model import Model
from compiler.specs.site import Site
from compiler.specs.workload import ROLES, Workload


@dataclass(frozen=True)
class Framework:
    """Which program runs the plan; its rules order the ranks."""

    name: str = MISSING
    version: Optional[str] = None
    args: list[str] = text(list, longest=ARGUMENT)
    instances: int = between(1, RANKS, 1)
    expert_layout: Optional[str] = None


@dataclass(frozen=True)
class Experts:
    """Measured loads of experts: the path of a CSV with the columns layer,expert,load, or (with a line break in it) its text."""

    load: Optional[str] = text(None, longest=CONTENT)


@dataclass(frozen=True)
class Config:
    """`scheduler` maps each chosen target to its own options, a frozen dataclass of that target."""

    hardware: Hardware = field(default_factory=Hardware)
    model: Model = field(default_factory=Model)
    parallel: Parallel = field(default_factory=Parallel)
    workload: Workload = field(default_factory=Workload)
    framework: Framework = field(default_factory=Framework)
    scheduler: dict[str, Any] = field(default_factory=dict)
    site: Site = field(default_factory=Site)
    launch: Launch = field(default_factory=Launch)
    expect: Expect = field(default_factory=Expect)
    experts: Experts = field(default_factory=Experts)
    placement: str = choice(("default", "best"), "default")
    graph: bool = False
    name: Optional[str] = None
    out: str = "out"
    sweep: Optional[str] = None

    @property
    def degrees(self) -> Degrees:
        return resolve(self.parallel, self.model.moe)

    @property
    def ranks(self) -> int:
        """Ranks of all instances."""
        return self.degrees.world_size * self.framework.instances

    @property
    def sequence_parallel(self) -> bool:
        """On where kind is train and tp > 1, unless it is set."""
        chosen = self.workload.sequence_parallel
        return self.workload.train and self.parallel.tp > 1 if chosen is None else chosen

    @property
    def plan_name(self) -> str:
        """The given name, or model and degrees and then whatever is not the default."""
        if self.name is not None:
            return self.name
        parts = [self.model.name, *self._degrees_name()]
        parts += [self.framework.name] * (self.framework.name != "none")
        parts += [self.workload.kind] * (self.workload.kind != "serve")
        parts += [self.parallel.order] * (self.parallel.order != DEFAULT_ORDER)
        parts += [f"x{self.framework.instances}"] * (self.framework.instances > 1)
        return "_".join(parts)

    def _degrees_name(self) -> Iterator[str]:
        """Degrees, of each pool where there are pools."""
        if self.workload.pools is None:
            yield self.degrees.name
            return
        for role in ROLES:
            pool = self.workload.pools[role]
            degrees = resolve(pool.parallel or self.parallel, self.model.moe)
            yield from (role, degrees.name, *[f"x{pool.instances}"] * (pool.instances > 1))
