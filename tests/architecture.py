"""docs/architecture.md: the layers that import-linter holds, each with what its modules say of themselves."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# Architecture

Data flows one way: what a user declares is read into frozen values, laid out in closed form, costed, checked and written.
Nothing that is compiled knows the clock, the host, the environment or the order of a hash: the same input gives the same bytes.

```
 YAML + overrides                                              compiler/config     Hydra stays here
        |
        v
   specs: frozen dataclasses, which are the schema too          compiler/specs
        |
        v
   degrees -> two rank grids -> groups, stages, experts, slots  compiler/layout, cluster, frameworks -> World
        |
        v
   parameters, memory, time by measured or assumed curves       compiler/costs
        |
        v
   checks and claims                                            compiler/invariants, claims
        |
        v
   Plan: named parts, launched together                         compiler/plan
        |
        v
   files: tables, report, job files, runtime                    compiler/render, report, schedulers, runtime
```

A compile is a tuple of passes over a frozen draft (`compiler/passes.py`): each returns the draft with what it made and what it has
against it, one gate refuses, and somebody may watch between them.

## Layers

A module imports from those below it alone. `pyproject.toml` lists the layers, import-linter holds them, and
`python -m tests.test_architecture` writes this table from them and from the first sentence of each module.

| layer | module | what it is |
|---|---|---|
"""


def page() -> str:
    return HEAD + "".join(f"| {layer} | `{name}` | {said} |\n" for layer, name, said in rows())


def rows() -> Iterator[tuple[int, str, str]]:
    """Number of the layer from the top, its module, and the first sentence of that."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    layers = next(found["layers"] for found in contracts if found["type"] == "layers")
    for number, layer in enumerate(layers, 1):
        for module in layer.split(" | "):
            yield number, module.removeprefix("compiler.").replace(".", "/"), _said(module)


def _said(module: str) -> str:
    place = ROOT / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())
