"""The whole of what a user declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.degrees import DEFAULT_ORDER, Degrees, Parallel, resolve
from compiler.specs.expect import Expect
from compiler.specs.fields import MISSING, between, choice, text
from compiler.specs.hardware import Hardware
from compiler.specs.launch import Launch
from compiler.specs.limits import ARGUMENT, CONTENT, RANKS
from compiler.specs.model import Model
from compiler.specs.search import Search
from compiler.specs.site import Site
from compiler.specs.workload import ROLES, Workload


@dataclass(frozen=True)
class Framework:
    """Which program runs the plan; its rules order the ranks."""

    name: str = MISSING
    """Which program runs the plan; `none` for one of your own."""
    version: Optional[str] = None
    """The release whose options and rules are taken; the newest known one where it is null, the nearest known one where it is another."""
    args: list[str] = text(list, longest=ARGUMENT)
    """Arguments of your own, behind the plan's. Those that set what a key sets are refused, those that change what is costed are read."""
    instances: int = between(1, RANKS, 1)
    """Independent worlds of the framework; degrees, world size and groups are of one."""
    expert_layout: Optional[str] = None
    """Which of its layouts of experts to ranks, where a framework has several."""


@dataclass(frozen=True)
class Experts:
    """What is known of experts."""

    load: Optional[str] = text(None, longest=CONTENT)
    """Measured loads of experts: the path of a CSV with the columns layer,expert,load, or (with a line break in it) its text."""
    last: Optional[str] = text(None, longest=CONTENT)
    """The map of experts that the server has now: the path of an earlier experts.json, or (with a line break in it) its text."""


@dataclass(frozen=True)
class Report:
    """What is written for people beside `report.md`."""

    html: bool = True
    """Write `report.html`, the report with its figures, in one file that needs no network."""


@dataclass(frozen=True)
class Config:
    """`scheduler` maps each chosen target to its own options, a frozen dataclass of that target."""

    hardware: Hardware = field(default_factory=Hardware)
    """The cluster."""
    model: Model = field(default_factory=Model)
    """The model."""
    parallel: Parallel = field(default_factory=Parallel)
    """The degrees."""
    workload: Workload = field(default_factory=Workload)
    """What the model is run for."""
    framework: Framework = field(default_factory=Framework)
    """The program that runs it; its rules order the ranks."""
    scheduler: dict[str, Any] = field(default_factory=dict)
    """Targets that the plan is launched with, each with options of its own."""
    site: Site = field(default_factory=Site)
    """What is particular to a cluster for every scheduler."""
    launch: Launch = field(default_factory=Launch)
    """What runs on the ranks."""
    expect: Expect = field(default_factory=Expect)
    """Claims to hold against the plan."""
    experts: Experts = field(default_factory=Experts)
    """Measured loads of experts."""
    placement: str = choice(("default", "best"), "default")
    """Order of the slots: as the cluster is declared, or searched for the least time."""
    graph: bool = False
    """Write `graph.json.gz`, the rank graph in networkx's node-link format."""
    traffic: bool = True
    """Write `traffic.npz`, bytes between ranks, between leaves and over every link; of up to 65,536 ranks."""
    timeline: bool = False
    """Write `timeline.json` of a plan that trains, one step in the trace-event format, which Perfetto opens."""
    report: Report = field(default_factory=Report)
    """What is written for people."""
    name: Optional[str] = None
    """The plan's name and folder; made from model, degrees and whatever is not the default where it is null."""
    out: str = "out"
    """The folder that plan folders are written to; no plan depends on it."""
    search: Search = field(default_factory=Search)
    """What is searched for where degrees are left to the compiler; no plan depends on it."""
    sweep: Optional[str] = None
    """The folder of a sweep below `out/sweeps/`; made from its overrides where it is null."""

    @property
    def degrees(self) -> Degrees:
        return resolve(self.parallel, self.model.moe)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of every rank that the user sets: the site's, and the launch's over them."""
        return {**self.site.environment, **self.launch.environment}

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
