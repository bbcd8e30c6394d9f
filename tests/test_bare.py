"""What templates of shell scripts write without a filter: each such expression is here, with what keeps it from being more than a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment, nodes  # noqa: TID253 - this is about templates

from compiler.render.assets import folder

POOL = "each of pools"
NUMBERS = {
    "instances", "job.instances", "job.launch.preflight.timeout_s", "job.nodes", "job.ranks_per_node", "job.world_size",
    "loop.index0", "nodes", "options.master_port", "ports", "pools.request.first_port", "request.first_port",
    "request.http_ports | join", "request.ports", "request.staging_s",
    f"each of {POOL}.request.http_ports", f"{POOL}.first_instance", f"{POOL}.instances", f"{POOL}.world_size",
    *(f"{POOL}.job.{name}" for name in ("all_nodes", "instances", "nodes", "ranks_per_node", "world_size")),
}  # fmt: skip
REFUSED_BY_PATTERN = {
    "each of request.directives", "each of request.flags", "each of passed",  # schedulers/slurm/rules.py
    "job.name", "jobs.name",  # config/grammar.py
    # a permutation of six words
    "job.world.config.parallel.order", f"{POOL}.job.world.config.parallel.order", f"{POOL}.world.config.parallel.order",
}  # fmt: skip
WORDS_OF_OURS = {
    "digest", "request.digest", "job.fingerprint", "jobs.fingerprint",  # hexadecimal
    "job.world.degrees.name", f"{POOL}.job.world.degrees.name", f"{POOL}.world.degrees.name",
    "each of files",  # of the plan folder
    "each of request.dumps",  # variables of NCCL and PyTorch
    POOL, f"{POOL}.role", "pools.role", "roles", f"{POOL}.option", f"{POOL}.variables", "request.http_scheme", "request.runs_in",
}  # fmt: skip
ARGUMENTS = {"attempt", "group", "hostfile", "noted", "of", "plan", "run", "steps"}
"""Of macros: what the templates themselves call these with is text of theirs."""
QUOTED = {"each of quoted_options"}
"""What the caller has passed through `sh`."""


def bare(text: str) -> set[str]:
    """Expressions that are written as they are, less texts and macros of the templates themselves; of what stands in a loop, or was set,
    what it is of.
    """
    tree = Environment(autoescape=False).parse(text)
    macros = {macro.name for macro in tree.find_all(nodes.Macro)} | {
        part.target for part in tree.find_all(nodes.Import)
    }
    found: set[str] = set()
    _read(tree, {}, found, macros)
    return found


def _read(node: nodes.Node, known: dict[str, str], found: set[str], macros: set[str]) -> None:
    if isinstance(node, nodes.Output):
        found |= {name for each in node.nodes for name in _written(each, known, macros)}
    if (
        isinstance(node, nodes.Assign)
        and isinstance(node.target, nodes.Name)
        and not isinstance(node.node, nodes.Const)
    ):
        known[node.target.name] = _name(node.node, known)
    inner = known
    if isinstance(node, nodes.For):
        inner = known | {name.name: f"each of {_name(node.iter, known)}" for name in node.target.find_all(nodes.Name)}
        inner |= {
            name.name: f"each of {_name(node.iter, known)}" for name in [node.target] if isinstance(name, nodes.Name)
        }
    for child in node.iter_child_nodes():
        _read(child, inner, found, macros)


def _written(node: nodes.Node, known: dict[str, str], macros: set[str]) -> list[str]:
    if isinstance(node, (nodes.TemplateData, nodes.Const)) or _is_macro(node, macros):
        return []
    if isinstance(node, nodes.Filter) and (
        node.name in ("sh", "sbatch") or _is_macro(node.node, macros)
    ):  # a macro's text, cut or moved
        return []
    if isinstance(node, (nodes.Concat, nodes.CondExpr)):
        return [each for part in node.iter_child_nodes(exclude=["test"]) for each in _written(part, known, macros)]
    return [_name(node, known)]


def _is_macro(node: nodes.Node | None, macros: set[str]) -> bool:
    called = node.node if isinstance(node, nodes.Call) else None
    named = called.node if isinstance(called, nodes.Getattr) else called
    return isinstance(named, nodes.Name) and named.name in macros


def _name(node: nodes.Node | None, known: dict[str, str]) -> str:
    if isinstance(node, nodes.Filter):
        return f"{_name(node.node, known)} | {node.name}"
    if isinstance(node, nodes.Call):
        return f"{_name(node.node, known)}()"
    if isinstance(node, nodes.Getattr):
        return f"{_name(node.node, known)}.{node.attr}"
    if isinstance(node, nodes.Getitem):
        return _name(node.node, known)
    return known.get(node.name, node.name) if isinstance(node, nodes.Name) else type(node).__name__


def templates() -> list[Path]:
    return [path for target in ("slurm", "local") for path in sorted((folder("templates") / target).glob("*.j2"))]


@pytest.mark.parametrize("path", templates(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_is_written_bare_is_known(path: Path) -> None:
    known = NUMBERS | REFUSED_BY_PATTERN | WORDS_OF_OURS | ARGUMENTS | QUOTED
    assert bare(path.read_text(encoding="utf-8")) <= known


def test_nothing_is_listed_that_no_template_writes() -> None:
    written = set[str]().union(*(bare(path.read_text(encoding="utf-8")) for path in templates()))
    assert written == NUMBERS | REFUSED_BY_PATTERN | WORDS_OF_OURS | ARGUMENTS | QUOTED


def test_a_value_without_a_filter_is_seen() -> None:
    assert bare("x={{ job.launch.python }} {{ a | sh }} {{ b | indent(2) }} {{ 'c' ~ d }}") == {
        "job.launch.python",
        "b | indent",
        "d",
    }
