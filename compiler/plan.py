"""The Plan: frozen parts that are launched together, and their fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler import pooled
from compiler.checks import Check
from compiler.claims.judge import Verdict
from compiler.costs.together import Aggregated
from compiler.costs.total import Costs
from compiler.document import SCHEMA, document
from compiler.errors import ConfigError
from compiler.frozen import dataclass
from compiler.graph_answers import RankGraph
from compiler.layout.groups import Groups
from compiler.rank_map import RankMap
from compiler.specs.config import Config
from compiler.specs.hardware import Within
from compiler.specs.newer import said
from compiler.traffic.totals import rows
from compiler.words import figures
from compiler.world import World

if TYPE_CHECKING:
    from compiler.placement.chosen import Chosen
    from compiler.report.notebook import Svg


@dataclass(frozen=True)
class Part:
    """One world in closed form as the rank graph holds it, what it costs, and the search for its placement where there was one; tables
    of ranks and groups are expanded when they are asked for.
    """

    graph: RankGraph
    costs: Costs
    placement: Chosen | None = None

    @cached_property
    def contents(self) -> Mapping[str, Any]:
        """What `plan.json` says of it, to be read alone: all but its name, checks and claims."""
        found: Mapping[str, Any] = figures(document(self.world, self.costs, rows(self.graph.flows), self.placement))
        return found

    @property
    def world(self) -> World:
        return self.graph.layout


@dataclass(frozen=True, repr=False)
class Plan:
    """What is compiled and launched as one: a single part, which has no name, or with pools prefill and decode.

    What is of one world (`world`, `costs`, `groups`, ...) is that of the single part; of pools ask `parts`.
    `own` are checks of each of several parts, `served` is what clients see of pools, where an engine was measured.
    """

    config: Config
    compiled: Mapping[str, Part]
    checks: tuple[Check, ...] = ()
    expectations: tuple[Verdict, ...] = ()
    own: Mapping[str, tuple[Check, ...]] = field(default_factory=dict)
    served: tuple[Aggregated, ...] = ()

    @classmethod
    def of(cls, part: Part, checks: tuple[Check, ...] = (), expectations: tuple[Verdict, ...] = ()) -> Plan:
        """A plan of one part."""
        return cls(part.world.config, {"": part}, checks, expectations)

    @cached_property
    def parts(self) -> Mapping[str, Plan]:
        """Each part as a plan of its own, by its name."""
        if self.alone:
            return {"": self}
        return {name: Plan.of(part, self.own.get(name, ())) for name, part in self.compiled.items()}

    @property
    def alone(self) -> bool:
        """Whether there is but one part."""
        return "" in self.compiled

    @property
    def only(self) -> Part:
        """The single part. Raises ConfigError where there are several."""
        if not self.alone:
            ask = " or ".join(f'plan.parts["{name}"]' for name in self.compiled)
            raise ConfigError.of(f"the plan {self.name} has parts, {' and '.join(self.compiled)}", f"ask {ask}")
        return self.compiled[""]

    @property
    def name(self) -> str:
        return self.config.plan_name

    @property
    def declared(self) -> Config:
        """What the user wrote, before a placement was searched."""
        searched = self.only.placement if self.alone else None
        return self.config if searched is None else searched.declared

    @property
    def world(self) -> World:
        return self.only.world

    @property
    def costs(self) -> Costs:
        return self.only.costs

    @property
    def world_size(self) -> int:
        """Ranks of one instance."""
        return self.world.size

    @property
    def graph(self) -> RankGraph:
        """The rank graph: `plan.graph.span("group/ep/0")`, and as networkx holds it, `plan.graph.expanded`."""
        return self.only.graph

    @property
    def groups(self) -> Groups:
        """kind -> ranks, shape [groups, size]."""
        return self.world.groups

    @cached_property
    def rank_map(self) -> RankMap:
        """column -> array of length world_size."""
        return RankMap(self.world)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of what decides the plan, or those of its parts; neither its name nor how it is launched is part of it."""
        if self.alone:
            return _digest(json.dumps(_decides(self.world), sort_keys=True, separators=(",", ":")).encode())
        parts = {name: part.fingerprint for name, part in self.parts.items()}
        return _digest(json.dumps(parts, sort_keys=True).encode())

    def to_dict(self) -> dict[str, Any]:
        """What `plan.json` holds: the plan in closed form, of a size that does not grow with the ranks."""
        return deepcopy(self.contents)

    @cached_property
    def contents(self) -> dict[str, Any]:
        """The same, to be read alone."""
        found = self.only.contents if self.alone else figures(pooled.document(self))
        checks = figures([check.to_dict() for check in self.checks])
        verdicts = [asdict(verdict) for verdict in self.expectations]
        named = {"schema": found["schema"], "name": self.name, "fingerprint": self.fingerprint}
        return {**named, **found, "checks": checks, "expectations": verdicts}

    def __repr__(self) -> str:
        """What it is called, whether it fits, and how fast it is."""
        from compiler.report import notebook

        return notebook.short(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the first screen of the report."""
        from compiler.report import notebook

        return notebook.first(self)

    def figure(self, name: str) -> Svg:
        """A figure of the report as an SVG: "ranks", "memory", "timeline", "step", "prefill", "decode", "experts".

        Raises ConfigError for a name that this plan has no figure of.
        """
        from compiler.report import notebook

        return notebook.figure(self, name)

    def write(self, out: str | Path = "out", name: str | None = None) -> Path:
        """Write the plan folder `<out>/<name>` in one step (name: the plan's own where None) and return its path.

        Raises WriteError, and ConfigError where a launch target cannot carry a value.
        """
        from compiler.render.folder import write_plan

        return write_plan(self, Path(out), name)


def _decides(world: World) -> dict[str, Any]:
    config = world.config
    left_out = ("inventory", "hosts", "pin", *["within"] * (config.hardware.within == Within()))
    hardware = {key: value for key, value in asdict(config.hardware).items() if key not in left_out}
    return {
        "schema": SCHEMA,
        "grids": world.grids(),
        "order": config.parallel.order,
        "stages": world.stages.to_list(),
        "experts": world.experts.blocks,
        "loads": config.experts.load,
        **({} if config.experts.last is None else {"last": config.experts.last}),
        "slots": {
            "hosts": world.slots.hosts,
            "leaf": _digest(world.slots.leaf.tobytes()),
            "pod": _digest(world.slots.pod.tobytes()),
            "domain": _digest(world.slots.domain.tobytes()),
        },
        "model": said(asdict(config.model)),
        "hardware": hardware,
        "workload": asdict(config.workload),
        "framework": asdict(config.framework),
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
