"""A Plan -> its folder: every file, in order, and the manifest over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from compiler import __version__
from compiler.expert_map import expert_map
from compiler.frameworks.adapter import adapter
from compiler.plan import Plan
from compiler.render import tables
from compiler.render.artifacts import Artifact, to_json
from compiler.render.atomic import Made, write_folder
from compiler.render.config_yaml import dump
from compiler.render.engine import sh
from compiler.report import sections
from compiler.report.html import page
from compiler.report.markdown import markdown
from compiler.report.sections import pipeline
from compiler.report.verdict import answers
from compiler.schedulers.registry import artifacts as launch_artifacts
from compiler.traffic.matrices import RANK_LIMIT, archive
from compiler.words import figures


def write_plan(plan: Plan, out: Path, name: str | None = None) -> Path:
    """Write `<out>/<name>` in one step (name: the plan's own where None) and return its path.

    Raises WriteError, and ConfigError where a launch target cannot carry a value.
    """
    target = out / (name or plan.name)
    write_folder(target, everything(plan))
    return target


def everything(plan: Plan) -> list[Artifact | Made]:
    """Every file of a plan folder, in the order that they are written. Raises ConfigError as `write_plan` does.

    A part with a name has a plan folder of its own in it, with the manifest that it would have alone.
    """
    below = [item.within(name) for name, part in plan.parts.items() for item in files(part)]
    above = [] if plan.alone else [*_described(plan)]
    return [*below, *above, *launch_artifacts(plan), *(_manifest_of(name) for name in plan.compiled if name), manifest]


def _manifest_of(part: str) -> Made:

    def own(digests: Mapping[str, str]) -> Artifact:
        start = f"{part}/"
        found = {path.removeprefix(start): digest for path, digest in digests.items() if path.startswith(start)}
        return manifest(found).within(part)

    return own


def files(plan: Plan) -> Iterator[Artifact]:
    """What the folder of one part holds, whatever it is launched with."""
    yield from _described(plan)
    yield Artifact("rank_map.csv", tables.rank_map(plan))
    yield Artifact("nccl_groups.csv", tables.nccl_groups(plan.world))
    yield Artifact("slots.csv", tables.slots(plan.world))
    yield from _framework(plan)
    if plan.config.hardware.inventory is not None:
        yield Artifact("runtime/inventory.csv", plan.config.hardware.inventory)
    yield from _experts(plan)
    yield from _timeline(plan)
    if plan.config.graph:
        from compiler.rank_graph import serialised

        yield Artifact("graph.json.gz", serialised(plan.world))
    if plan.config.traffic and (found := plan.only.graph.flows) is not None and found.places.ranks <= RANK_LIMIT:
        yield Artifact("traffic.npz", archive(found))


def _described(plan: Plan) -> Iterator[Artifact]:
    """What says what a plan is, of one part or of several."""
    contents = plan.contents
    yield Artifact("plan.json", to_json(contents))
    yield Artifact("config.yaml", dump(plan.declared))
    said = sections.of(plan, contents)
    yield Artifact("report.md", markdown(plan.name, said))
    if plan.config.report.html:
        yield Artifact("report.html", page(plan.name, answers(plan, contents), said))


def _timeline(plan: Plan) -> Iterator[Artifact]:
    """One step, of a plan that trains, where it is asked for."""
    found = pipeline.of(plan) if plan.config.timeline else None
    if found is not None:
        from compiler.report.trace import trace

        yield Artifact("timeline.json", trace(plan.name, found))


def _experts(plan: Plan) -> Iterator[Artifact]:
    """Where measured loads ask experts to be, and the same as the framework reads it."""
    found = expert_map(plan.world)
    if found is not None:
        yield Artifact("experts.json", to_json(figures(found.to_dict())))
        if not plan.world.experts.by_layer:  # else it is one of the files that the server is started with
            yield from adapter(plan.config.framework.name).located(plan.world, found)


def _framework(plan: Plan) -> Iterator[Artifact]:
    """What the framework reads, and what it is started with, an argument a line, quoted for a shell."""
    emission = adapter(plan.config.framework.name).emission(plan.world)
    yield from emission.files
    for name, arguments in (("args", emission.arguments), ("args.others", emission.others or ())):
        if arguments:
            lines = (sh(item if isinstance(item, str) else item.text) + "\n" for item in arguments)
            yield Artifact(f"framework/{name}", "".join(lines))
    if emission.environment:
        values = sorted(emission.environment.items())
        lines = (f"{name}={sh(item if isinstance(item, str) else item.text)}\n" for name, item in values)
        yield Artifact("framework/environment", "".join(lines))


def manifest(digests: Mapping[str, str]) -> Artifact:
    """The file that names every other one."""
    return Artifact("manifest.json", to_json({"rankplan": __version__, "files": dict(digests)}))
