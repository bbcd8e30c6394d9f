"""What templates of shell scripts write without a filter: each such expression is here, with what keeps it from being more than a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment, nodes  # noqa: TID253 - this is about templates

from compiler.render.assets import folder

NUMBERS = {
    "instances", "job.instances", "job.launch.preflight.timeout_s", "job.nodes", "job.ranks_per_node", "job.world_size",
    "loop.index0", "nodes", "number", "options.master_port", "pool.first_instance", "pool.job.all_nodes", "pool.job.instances",
    "pool.job.nodes", "pool.job.ranks_per_node", "pool.job.world_size", "port", "ports", "request.first_port",
    "request.http_ports | join", "request.ports", "request.staging_s", "shared.first_port",
}  # fmt: skip
REFUSED_BY_PATTERN = {
    "flag", "name",  # a directive's and a variable's: schedulers/slurm/rules.py and schedulers/values.py
    "job.name", "jobs.name",  # config/grammar.py
    "job.world.config.parallel.order", "pool.job.world.config.parallel.order",  # a permutation of six words
}  # fmt: skip
WORDS_OF_OURS = {
    "digest", "request.digest", "job.fingerprint", "jobs.fingerprint",  # hexadecimal
    "job.world.degrees.name", "pool.job.world.degrees.name",
    "path",  # a file of the plan folder
    "pool.role", "role", "roles", "pools.role", "pool.option", "pool.variables", "request.http_scheme", "request.runs_in",
}  # fmt: skip
ARGUMENTS = {"attempt", "group", "hostfile", "noted", "of", "plan", "run", "steps"}
"""Of macros: what the templates themselves call these with is text of theirs."""
QUOTED = {"quoted"}
"""What the caller has passed through `sh`."""


def bare(text: str) -> set[str]:
    """Expressions that are written as they are, less texts and macros of the templates themselves."""
    tree, found = Environment(autoescape=False).parse(text), set[str]()
    for output in tree.find_all(nodes.Output):
        found |= {name for each in output.nodes for name in _written(each)}
    return found


def _written(node: nodes.Node) -> list[str]:
    if isinstance(node, (nodes.TemplateData, nodes.Const, nodes.Call)):
        return []
    if isinstance(node, nodes.Filter) and node.name in ("sh", "sbatch"):
        return []
    if isinstance(node, nodes.Filter) and isinstance(node.node, nodes.Call):  # a macro's text, cut or moved
        return []
    if isinstance(node, (nodes.Concat, nodes.CondExpr)):
        return [each for part in node.iter_child_nodes(exclude=["test"]) for each in _written(part)]
    return [_name(node)]


def _name(node: nodes.Node | None) -> str:
    if isinstance(node, nodes.Filter):
        return f"{_name(node.node)} | {node.name}"
    if isinstance(node, nodes.Getattr):
        return f"{_name(node.node)}.{node.attr}"
    if isinstance(node, nodes.Getitem):
        return _name(node.node)
    return node.name if isinstance(node, nodes.Name) else type(node).__name__


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
